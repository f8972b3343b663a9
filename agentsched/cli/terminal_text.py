"""Owns how text of others is shown: without what could steer a terminal."""

PREVIEW_CHARACTERS = 120


def one_line(text: str, most: int = PREVIEW_CHARACTERS) -> str:
    """Return a text on one line, cut, and without control characters."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain if len(plain) <= most else plain[:most] + "..."


def many_lines(text: str) -> str:
    """Return a text with its lines and tabs, but no other control characters."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )
