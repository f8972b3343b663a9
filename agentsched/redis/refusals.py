"""What Redis says when it refuses our user something: one sentence, with what to do.

Its words differ between versions, and between a command and a script. No key, channel or
argument gets into the sentence.
"""

import re

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

PAGE = "docs/how-to/your-redis.md, 'Who may do what'"
FORBIDDEN = re.compile(
    r"\bNOPERM\b|ACL failure|no permissions"
    r"|user executing the script can't (?:run|access|publish)",
    re.IGNORECASE,
)
COMMAND = re.compile(r"'([a-z]+(?:[|_-][a-z]+)*)' command")
WHAT = {"key": "that key", "channel": "that channel"}


def refusal(error: BaseException | None) -> str:
    """Return what our user may not do and what to do about it; "": it is no refusal.

    Args:
        error: what the client raised; None: nothing.
    """
    if isinstance(error, AuthenticationError):
        return "it refuses the login: mend user and password in `redis.url`"
    if not isinstance(error, RedisError):
        return ""
    if not isinstance(error, NoPermissionError) and not FORBIDDEN.search(str(error)):
        return ""
    return (
        f"its user has no right to {_what(str(error))}: give it the rights of {PAGE};"
        " `redis-cli ACL LOG` shows which one it was"
    )


def _what(words: str) -> str:
    if named := COMMAND.search(words):
        return f"the command {named[1]}"
    return next((it for word, it in WHAT.items() if word in words), "a command")
