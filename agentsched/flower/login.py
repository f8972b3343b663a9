"""The login that Flower asks for when nobody has chosen one: a password in a private file.

It owns that file and nothing of Flower.
"""

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from agentsched.errors import ConfigurationError

USER = "agentsched"
PASSWORD_BYTES = 24
CHOOSE_ONE = "set FLOWER_BASIC_AUTH=user:password to choose a login yourself"


@dataclass(frozen=True, slots=True)
class Login:
    """Name and password, and where the password is kept."""

    password: str
    path: Path
    is_new: bool
    """Whether it was made by this very call."""
    user: str = USER

    @property
    def basic_auth(self) -> str:
        """As Flower's `--basic-auth` takes it."""
        return f"{self.user}:{self.password}"

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, path={str(self.path)!r})"


def flower_login(environ: Mapping[str, str] | None = None) -> Login:
    """Return the login that `celery -A agentsched flower` asks for by itself.

    The password is made at the first call of a user, and stays: in
    `$XDG_STATE_HOME/agentsched/flower_password` (default: `~/.local/state`), which only
    that user can read.

    Args:
        environ: the environment; the process's own by default.

    Raises:
        ConfigurationError: the file cannot be written or read, or others can read it.
    """
    path = _path(os.environ if environ is None else environ)
    try:
        made = not path.exists() and _make(path)
        return Login(_read(path), path, is_new=made)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(
            f"Flower needs a password, and none can be kept in {path} ({reason});"
            f" {CHOOSE_ONE}"
        ) from None


def _path(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME") or ""
    home = Path(environ.get("HOME") or Path.home())
    # The specification has relative paths ignored.
    folder = Path(state) if state.startswith("/") else home / ".local" / "state"
    return folder / "agentsched" / "flower_password"


def _make(path: Path) -> bool:
    """Make the file whole at once; False when another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with NamedTemporaryFile("w", dir=path.parent, encoding="ascii") as file:  # 0600
        file.write(secrets.token_urlsafe(PASSWORD_BYTES) + "\n")
        file.flush()
        try:
            os.link(file.name, path)
        except FileExistsError:
            return False
    return True


def _read(path: Path) -> str:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(
            f"others can read Flower's password in {path}: delete the file, then a new"
            " one is made"
        )
    password = path.read_text("ascii").strip()
    if not password:
        raise ConfigurationError(
            f"there is no password in {path}: delete the file, then a new one is made"
        )
    return password
