"""What Flower shows of a task."""

from types import SimpleNamespace

import pytest

from agentsched.flower.guard import guard_flower, readable


def shown(kwargs: object) -> object:
    return readable(SimpleNamespace(kwargs=kwargs)).kwargs


def test_a_row_says_what_a_request_is_in_few_words() -> None:
    kwargs = "{'model': 'm', 'class': 'low', 'agent_id': 'a', 'correlation_id': 'c'}"
    assert shown(kwargs) == "model m, class low, agent a, correlation_id c"


@pytest.mark.parametrize("kwargs", [None, "", "{}", "{'x': 1}", "not a dict", "..."])
def test_what_is_none_of_ours_stays_as_it_is(kwargs: object) -> None:
    assert shown(kwargs) == kwargs


def test_who_is_not_flower_needs_no_login(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")  # it would be refused
    guard_flower()
