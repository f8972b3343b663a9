"""How long something lasts or lasted, in words; pure."""

UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def span(duration_ms: float) -> str:
    """Write a duration with its two largest units: `3 min 20 s`, `0.4 s`."""
    seconds = max(0.0, duration_ms / 1000)
    if seconds < 10:  # noqa: PLR2004  (below, a tenth of a second matters)
        return f"{seconds:.1f} s"
    left = int(seconds)
    parts: list[str] = []
    for unit, size in UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))
