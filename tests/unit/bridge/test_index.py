"""The index: a partition that goes is gone at once, and forgotten in pieces."""

from agentsched.ledger.values import Change, ChangeKind, State
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core import index
from bridge.core.state import Stage
from bridge.core.step import has_more, step
from tests.unit.bridge.driver import SOURCE, Driver

WAITING = 5_000


def full(waiting=WAITING):
    """A bridge with one request that is READY, and so many that wait."""
    driver = Driver(limits={"ready_max_entries": 1})
    driver.own()
    driver.read(0)
    driver.admitted()
    for start in range(1, waiting + 1, 500):
        driver.read(*range(start, start + 500))
    return driver


def revoke(driver):
    """Without a round: nothing is forgotten in pieces yet."""
    driver.state, driver.said = step(driver.state, ev.Revoked(SOURCE))


def test_what_waits_in_a_partition_that_is_gone_is_found_by_nobody():
    driver = full()
    keys = list(driver.state.by_key)
    revoke(driver)
    assert [index.with_key(driver.state, key) for key in keys] == [()] * len(keys)
    assert driver.state.deadlines.best() is None
    driver.feed(ev.Changed((Change(ChangeKind.ENDING, "1-0", keys[7]),), 0))
    driver.tick(700_000)  # past all deadlines
    assert driver.of(do.Admit) == driver.of(do.Inspect) == []


def test_what_was_admitted_is_forgotten_at_once():
    driver = full()
    revoke(driver)
    assert list(driver.state.all_admitted()) == []
    assert driver.state.held == 0


def test_one_round_forgets_so_many_and_the_next_goes_on():
    driver = full()
    revoke(driver)
    rounds = 0
    while has_more(driver.state):
        before = len(driver.state.by_key)
        driver.feed(ev.OffsetSettled(SOURCE, 0))
        assert before - len(driver.state.by_key) <= index.DROPPED_AT_ONCE
        rounds += 1
    assert rounds == 3
    state = driver.state
    assert [state.by_key, state.agents, state.groups, state.held_bytes] == [
        {},
        {},
        {},
        0,
    ]


def test_a_partition_that_comes_back_at_once_is_read_anew(monkeypatch):
    monkeypatch.setattr(index, "DROPPED_AT_ONCE", 10)
    driver = full(waiting=500)
    revoke(driver)
    driver.own()
    driver.read(0, 1, 2)
    assert len(driver.of(do.Admit)) == 1
    for entry in driver.state.partitions[SOURCE].entries.values():
        assert index.with_key(driver.state, entry.key) == (entry,)
    driver.admitted()
    while has_more(driver.state):
        driver.feed(ev.OffsetSettled(SOURCE, 9_999))
    entries = driver.state.partitions[SOURCE].entries
    waiting = driver.state.waiting[("m",)]["medium"]
    assert (len(waiting), len(driver.state.deadlines)) == (2, 3)
    assert [entry.stage for entry in entries.values()].count(Stage.READY) == 1
    assert set(driver.state.by_key) == {entry.key for entry in entries.values()}
    for entry in entries.values():
        assert index.with_key(driver.state, entry.key) == (entry,)


def test_a_round_goes_on_while_there_is_more_than_one_command_takes():
    driver = Driver(limits={"ready_max_entries": 600})
    driver.own()
    driver.read(*range(500))
    assert has_more(driver.state)
    for _ in range(2):
        driver.admitted(state=State.READY)
    driver.admitted(state=State.READY)
    assert not has_more(driver.state)


def test_a_draining_bridge_has_nothing_more_to_decide():
    driver = Driver(limits={"ready_max_entries": 600})
    driver.own()
    driver.read(*range(500))
    driver.feed(ev.DrainStarted())
    assert not has_more(driver.state)
