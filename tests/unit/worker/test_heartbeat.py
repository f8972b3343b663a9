"""The keeper: heartbeats, renewals and the way out."""

import threading
from collections.abc import Callable, Iterator, Mapping

import pytest

from agentsched.config.settings import TimingSettings
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.leases import HeldLease, LeaseBook, Stop
from tests.support.waiting import eventually
from tests.unit.worker.fakes import Desk, UnreliableLedger

QUICK = TimingSettings(lease_s=5, renew_s=0.05, heartbeat_ttl_s=60)


class Kept:
    """A keeper with a ledger in memory."""

    def __init__(self, ledger: UnreliableLedger, leases: LeaseBook) -> None:
        self.ledger = ledger
        self.leases = leases
        self.gave_up = threading.Event()
        slots: Callable[[], Mapping[str, int]] = lambda: {"m": 2}  # noqa: E731
        self.keeper = Heartbeat(
            ledger, leases, QUICK, "w1", slots, give_up=self.gave_up.set
        )
        self.keeper.start()

    def renewed(self, count: int) -> bool:
        return self.ledger.steps.count("renew") >= count


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.calls.close(5)


@pytest.fixture
def kept(desk: Desk) -> Iterator[Kept]:
    kept = Kept(desk.ledger, desk.leases)
    yield kept
    kept.keeper.stop(5)


def claimed(desk: Desk, key: str = "k1", lease_ms: int = 60_000) -> HeldLease:
    doorbell = desk.rung(key)
    lease = desk.leases.hold(desk.epoch, key, f"lease-{key}")
    desk.ledger.claim(desk.epoch, key, doorbell.ring, lease.lease_id, lease_ms)
    lease.begin()
    return lease


def test_the_slots_are_known_soon_after_the_start(kept: Kept) -> None:
    eventually(lambda: kept.ledger.membership.live_slots() == {"m": 2})


def test_who_leaves_has_no_slots_at_once(kept: Kept) -> None:
    eventually(kept.ledger.membership.live_slots)
    kept.keeper.leave(60)
    eventually(lambda: not kept.ledger.membership.live_slots())


def test_a_lease_is_renewed_in_time(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk, lease_ms=1000)
    view = eventually(
        lambda: v if (v := desk.ledger.inspect(desk.epoch, ["k1"])[0]) else None
    )
    eventually(
        lambda: desk.ledger.inspect(desk.epoch, ["k1"])[0].lease_left_ms > 1000,
        message=f"longer than at first ({view.lease_left_ms} ms)",
    )
    assert lease.stopped is None


def test_all_leases_are_renewed_in_one_step(desk: Desk, kept: Kept) -> None:
    leases = [claimed(desk, key) for key in ("k1", "k2", "k3")]
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 2))
    assert {lease.stopped for lease in leases} == {None}
    beats = desk.ledger.steps.count("renew") - before
    assert beats < 3 * len(leases)


def test_a_lease_that_is_not_claimed_yet_is_left_alone(desk: Desk, kept: Kept) -> None:
    waiting = desk.leases.hold(desk.epoch, "k9", "lease-k9")
    claimed(desk)
    eventually(lambda: kept.renewed(2))
    assert waiting.stopped is None


def test_a_lease_of_another_is_stopped_as_lost(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk)
    desk.ledger.put_back(desk.epoch, "k1", lease.lease_id)
    eventually(lambda: lease.stopped is Stop.LOST)


def test_a_new_epoch_loses_all_leases(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk)
    desk.ledger.server.lose()
    desk.ledger.membership.beat()
    eventually(lambda: lease.stopped is Stop.LOST)


def test_calls_go_on_while_redis_is_away(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk)
    desk.ledger.unreachable.add("renew")
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 3))
    assert lease.stopped is None


@pytest.mark.parametrize("step", ["renew", "beat_worker"])
def test_a_worker_that_is_too_old_for_the_ledger_ends(
    desk: Desk, kept: Kept, step: str
) -> None:
    lease = claimed(desk)
    desk.ledger.newer.add(step)
    eventually(kept.gave_up.is_set)
    assert lease.stopped is None  # what runs may end


def test_what_outlasts_the_drain_is_put_back(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk)
    kept.keeper.leave(0.05)
    eventually(lambda: lease.stopped is Stop.PUT_BACK)


def test_leases_are_renewed_while_the_worker_drains(desk: Desk, kept: Kept) -> None:
    claimed(desk)
    kept.keeper.leave(60)
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 2))


def test_the_shorter_drain_counts(desk: Desk, kept: Kept) -> None:
    lease = claimed(desk)
    kept.keeper.leave(60)
    kept.keeper.leave(0)
    eventually(lambda: lease.stopped is Stop.PUT_BACK)


def test_stopping_it_twice_is_harmless(kept: Kept) -> None:
    kept.keeper.stop(5)
    kept.keeper.stop(5)
    assert not kept.ledger.membership.live_slots()
