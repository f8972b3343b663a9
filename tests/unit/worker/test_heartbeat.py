"""The keeper: heartbeats, renewals and the way out."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import inf
from types import SimpleNamespace

import pytest

from agentsched.config.settings import TimingSettings
from agentsched.ledger.memory.ledger import MemoryLedger
from agentsched.ledger.turns import HandBack, Turn
from agentsched.worker.clock import Clock
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.leases import HeldLease, LeaseBook, Stop
from tests.support.waiting import eventually
from tests.unit.worker.fakes import WORKER, Desk, UnreliableLedger

QUICK = TimingSettings(lease_s=5, renew_s=0.05, heartbeat_ttl_s=60)


class Served:
    """Slots that turn, as long as a test wants."""

    def __init__(self) -> None:
        self.stuck = False
        self.epochs: list[str] = []
        self.left = False
        self.free = 2

    @property
    def turned_s(self) -> float:
        return 0.0 if self.stuck else time.monotonic()

    def open_epoch(self, epoch: str) -> None:
        self.epochs.append(epoch)

    def parked(self) -> int:
        return self.free

    def leave(self) -> None:
        self.left = True


class Kept:
    """A keeper with a ledger in memory."""

    def __init__(
        self, ledger: UnreliableLedger, leases: LeaseBook, *, stuck: bool = False
    ) -> None:
        self.ledger = ledger
        self.leases = leases
        self.gave_up = threading.Event()
        self.served = Served()
        self.served.stuck = stuck
        slots: Callable[[], Mapping[str, int]] = lambda: {"m": 2}  # noqa: E731
        self.keeper = Heartbeat(
            ledger,
            leases,
            QUICK,
            "w1",
            slots,
            self.served,
            give_up=self.gave_up.set,
        )
        self.keeper.start()

    def renewed(self, count: int) -> bool:
        return self.ledger.steps.count("renew") >= count


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    desk.taker = 0
    eventually(desk.slots.waiting)  # it looks for nothing more
    desk.ledger.membership.leave_worker(WORKER)
    yield desk
    desk.close()


@pytest.fixture
def kept(desk: Desk) -> Iterator[Kept]:
    kept = Kept(desk.ledger, desk.leases)
    yield kept
    kept.keeper.stop(5)


def taken(desk: Desk, key: str = "k1", lease_ms: int = 60_000) -> HeldLease:
    """A lease that this process has."""
    desk.admitted(key)
    desk.plan()
    desk.ledger.membership.beat_worker("taker", {"m": 9}, 60_000, "", 0)
    lease = desk.leases.hold(desk.epoch, key, f"lease-{key}")
    desk.taker += 1
    turn = Turn("taker", desk.taker, desk.taker - 1, lease_ms, models=("m",))
    turn = replace(turn, lease_ids=(lease.lease_id,))
    assert len(MemoryLedger.turn(desk.ledger, desk.epoch, turn).taken) == 1
    lease.begin()
    return lease


def test_the_slots_are_known_soon_after_the_start(kept: Kept) -> None:
    eventually(lambda: kept.ledger.membership.live_slots() == {"m": 2})


def test_who_leaves_has_no_slots_at_once(kept: Kept) -> None:
    eventually(kept.ledger.membership.live_slots)
    kept.keeper.leave(60)
    eventually(lambda: not kept.ledger.membership.live_slots())


def test_a_heartbeat_says_what_is_parked_and_names_the_epoch(
    desk: Desk, kept: Kept
) -> None:
    eventually(lambda: kept.served.epochs)
    assert kept.served.epochs[0] == desk.epoch
    assert desk.ledger.server.data.parked["w1"] == 2


def test_slots_whose_loop_is_stuck_wait_for_nothing(desk: Desk) -> None:
    kept = Kept(desk.ledger, desk.leases, stuck=True)
    eventually(lambda: kept.served.epochs)
    assert not desk.ledger.server.data.parked.get("w1")
    kept.keeper.stop(5)


def test_leases_of_a_loop_that_is_stuck_are_not_renewed(desk: Desk, kept: Kept) -> None:
    taken(desk)
    eventually(lambda: kept.renewed(1))
    kept.served.stuck = True
    eventually(lambda: len(kept.served.epochs) > 1)
    before = desk.ledger.steps.count("renew")
    beats = len(kept.served.epochs)
    eventually(lambda: len(kept.served.epochs) > beats)
    assert desk.ledger.steps.count("renew") == before


def test_who_leaves_tells_the_slots(kept: Kept) -> None:
    kept.keeper.leave(60)
    eventually(lambda: kept.served.left)


def test_a_lease_is_renewed_in_time(desk: Desk, kept: Kept) -> None:
    lease = taken(desk, lease_ms=1000)
    view = eventually(
        lambda: v if (v := desk.ledger.inspect(desk.epoch, ["k1"])[0]) else None
    )
    eventually(
        lambda: desk.ledger.inspect(desk.epoch, ["k1"])[0].lease_left_ms > 1000,
        message=f"longer than at first ({view.lease_left_ms} ms)",
    )
    assert lease.stopped is None


def test_all_leases_are_renewed_in_one_step(desk: Desk, kept: Kept) -> None:
    leases = [taken(desk, key) for key in ("k1", "k2", "k3")]
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 2))
    assert {lease.stopped for lease in leases} == {None}
    beats = desk.ledger.steps.count("renew") - before
    assert beats < 3 * len(leases)


def test_a_lease_that_is_only_asked_for_is_left_alone(desk: Desk, kept: Kept) -> None:
    waiting = desk.leases.hold(desk.epoch, "k9", "lease-k9")
    taken(desk)
    eventually(lambda: kept.renewed(2))
    assert waiting.stopped is None


def test_a_lease_of_another_is_stopped_as_lost(desk: Desk, kept: Kept) -> None:
    lease = taken(desk)
    lost = HandBack("k1", lease.lease_id)
    MemoryLedger.turn(
        desk.ledger, desk.epoch, Turn("other", 1, 0, 1000, hand_backs=(lost,))
    )
    eventually(lambda: lease.stopped is Stop.LOST)


def test_a_new_epoch_loses_all_leases(desk: Desk, kept: Kept) -> None:
    lease = taken(desk)
    desk.ledger.server.lose()
    desk.ledger.membership.beat()
    eventually(lambda: lease.stopped is Stop.LOST)


def test_calls_go_on_while_redis_is_away(desk: Desk, kept: Kept) -> None:
    lease = taken(desk)
    desk.ledger.unreachable.add("renew")
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 3))
    assert lease.stopped is None


@pytest.mark.parametrize("step", ["renew", "beat_worker"])
def test_a_worker_that_is_too_old_for_the_ledger_ends(
    desk: Desk, kept: Kept, step: str
) -> None:
    lease = taken(desk)
    desk.ledger.newer.add(step)
    eventually(kept.gave_up.is_set)
    assert lease.stopped is None  # what runs may end


def test_what_outlasts_the_drain_is_put_back(desk: Desk, kept: Kept) -> None:
    lease = taken(desk)
    kept.keeper.leave(0.05)
    eventually(lambda: lease.stopped is Stop.PUT_BACK)


def test_leases_are_renewed_while_the_worker_drains(desk: Desk, kept: Kept) -> None:
    taken(desk)
    kept.keeper.leave(60)
    before = desk.ledger.steps.count("renew")
    eventually(lambda: kept.renewed(before + 2))


def test_the_shorter_drain_counts(desk: Desk, kept: Kept) -> None:
    lease = taken(desk)
    kept.keeper.leave(60)
    kept.keeper.leave(0)
    eventually(lambda: lease.stopped is Stop.PUT_BACK)


def test_stopping_it_twice_is_harmless(kept: Kept) -> None:
    kept.keeper.stop(5)
    kept.keeper.stop(5)
    assert not kept.ledger.membership.live_slots()


class Stopped(Clock):
    """A clock that goes when it is told to."""

    at_s = 100.0

    def now_s(self) -> float:
        return self.at_s


def test_a_renewal_that_failed_is_tried_again_after_a_second() -> None:
    clock, ledger = Stopped(), UnreliableLedger()
    served = SimpleNamespace(turned_s=inf, parked=lambda: 0, open_epoch=lambda _: None)
    timing = TimingSettings(lease_s=15, renew_s=5, heartbeat_ttl_s=60)
    leases = LeaseBook(clock)
    leases.hold("e1", "k1", "l1").begin()
    keeper = Heartbeat(ledger, leases, timing, "w1", dict, served)
    ledger.unreachable.add("renew")
    tried = []
    for at_s in (0.0, 0.5, 1.0, 1.5, 2.0):
        clock.at_s = 100.0 + at_s
        keeper._work()
        tried.append(ledger.steps.count("renew"))
    assert tried == [1, 1, 2, 2, 3]
