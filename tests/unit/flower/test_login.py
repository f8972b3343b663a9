"""Flower's own login: one password, in a file that only its user can read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentsched.errors import ConfigurationError
from agentsched.flower.login import flower_login


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}


def test_a_password_is_made_once_and_stays(environ: dict[str, str]) -> None:
    first, second = flower_login(environ), flower_login(environ)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.password == second.password
    assert second.basic_auth == f"agentsched:{second.password}"


def test_a_password_cannot_be_guessed(environ: dict[str, str], tmp_path: Path) -> None:
    other = flower_login({"XDG_STATE_HOME": str(tmp_path / "other")})
    assert len(other.password) >= 32
    assert other.password != flower_login(environ).password


def test_only_its_user_can_read_the_file(environ: dict[str, str]) -> None:
    path = flower_login(environ).path
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_beside_the_file(environ: dict[str, str]) -> None:
    path = flower_login(environ).path
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("state", [{}, {"XDG_STATE_HOME": "relative"}])
def test_the_file_is_in_the_home_where_no_other_place_is_named(
    tmp_path: Path, state: dict[str, str]
) -> None:
    path = flower_login({"HOME": str(tmp_path)} | state).path
    assert path == tmp_path / ".local/state/agentsched/flower_password"


def test_processes_that_start_at_once_agree(environ: dict[str, str]) -> None:
    with ThreadPoolExecutor(8) as threads:
        logins = list(threads.map(lambda _: flower_login(environ), range(8)))
    assert len({login.password for login in logins}) == 1
    assert [login.is_new for login in logins].count(True) == 1


def test_a_file_that_others_can_read_is_refused(environ: dict[str, str]) -> None:
    login = flower_login(environ)
    login.path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="others can read") as refused:
        flower_login(environ)
    assert str(login.path) in str(refused.value)
    assert login.password not in str(refused.value)


def test_an_empty_file_is_no_password(environ: dict[str, str]) -> None:
    flower_login(environ).path.write_text("\n")
    with pytest.raises(ConfigurationError, match="delete the file"):
        flower_login(environ)


def test_a_place_that_cannot_be_written_is_said_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match="FLOWER_BASIC_AUTH=user:password"):
        flower_login({"XDG_STATE_HOME": "/dev/null"})


def test_a_login_does_not_show_its_password(environ: dict[str, str]) -> None:
    login = flower_login(environ)
    assert login.password not in repr(login)
