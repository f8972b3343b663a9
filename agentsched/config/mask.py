"""What of a value may be shown, by errors, pages and logs; pure.

When in doubt it hides: nothing that it returns holds a password.
"""

import re
from typing import Any

from agentsched.config.catalogue import Setting
from agentsched.config.redis_url import parse_redis_url
from agentsched.config.section import Address, DottedKeys, Secret

HIDDEN = "***"
SHOWN_CHARACTERS = 120
_SECRET_KEY = re.compile(
    r"pass|secret|token|credential|jaas|pem|key|assertion|kinit|oauthbearer.config"
    r"|user.?info|auth\.",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(r"\.(location|id)$|^(key|value)\.|\.(url|type)$", re.IGNORECASE)
_LOGIN = re.compile(r"^([a-zA-Z][a-zA-Z0-9+.-]*://).*@|^[^@\s]*:.*@", re.DOTALL)
"""Greedy: a password may have an @ of its own."""


def shown(value: Any, setting: Setting, key: str = "") -> Any:  # noqa: ANN401
    """Return a value of the effective configuration without its secrets.

    Args:
        value: in JSON's types.
        setting: what it is the value of.
        key: the key in a free mapping, where it is only one value of it.
    """
    if value is None or value == "":
        return value
    if setting.marked(Secret) or (setting.marked(DottedKeys) and is_secret_key(key)):
        return HIDDEN
    if setting.marked(Address):
        return _without_login(value)
    return _masked_within(value)


def _masked_within(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        return {name: _masked_within(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked_within(item) for item in value]
    return masked(value) if isinstance(value, str) else value


def shown_in_error(value: Any, setting: Setting | None, key: str = "") -> str | None:  # noqa: ANN401
    """Return a wrong value for an error's sentence, or None where it stays hidden.

    A wrong value is hidden more than a right one: a URL that cannot be read may have
    its password anywhere, and a variable's name may be the key itself.
    """
    if setting is None or not isinstance(value, str | int | float | bool):
        return None
    if setting.marked(Secret) or setting.marked(Address) or is_secret_key(setting.name):
        return None
    if setting.marked(DottedKeys) and is_secret_key(key):
        return None
    text = masked(value) if isinstance(value, str) else value
    if isinstance(text, str) and len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}..."
    return repr(text)


def is_secret_key(name: str) -> bool:
    """Whether a key, such as one of librdkafka's, names something secret."""
    return bool(_SECRET_KEY.search(name)) and not _NO_SECRET.search(name)


def masked(text: str) -> str:
    """Hide a login before an `@`, and what stands behind the `?` or `#` of a URL."""
    text = _LOGIN.sub(lambda found: f"{found[1] or ''}{HIDDEN}@", text)
    if "://" not in text:
        return text
    return re.sub(r"([?#]).*", rf"\1{HIDDEN}", text, count=1, flags=re.DOTALL)


def _without_login(value: Any) -> str:  # noqa: ANN401
    try:
        return parse_redis_url(str(value)).shown
    except ValueError:
        return HIDDEN
