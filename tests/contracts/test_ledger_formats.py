"""The keys of the ledger in Redis against whole namespaces that were written before."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentsched.errors import NewerFormat
from agentsched.ledger.turns import Member, Plan, PlanOutcome, PoolList, Taken, Turn
from agentsched.ledger.values import (
    AdmitOutcome,
    Admitted,
    CallOutcome,
    Ending,
    State,
)
from agentsched.wire.codec import hash_value
from tests.golden import history
from tests.golden.history import (
    AGAIN,
    CONTROLS,
    DISPATCHER,
    ENDPOINT,
    LONG_MS,
    MODEL,
    OFFSETS,
    OTHER_SOURCE,
    PAYLOAD,
    REPLY,
    REPLY_AT,
    SETTLED,
    SOURCE,
    key_of,
)
from tests.golden.snapshot import Snapshot, load, take
from tests.support.ledgers import OnRedis
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
LUA = ROOT / "agentsched/ledger/lua"
PAGE = (ROOT / "docs/reference/formats.md").read_text("utf-8")
OK = CallOutcome(ok=True, model_ms=40)
CONFLICTING = b"another payload"


def number_in(script: str, name: str) -> int:
    found = re.search(
        rf"^local {name} = (\d+)$", (LUA / script).read_text(), re.MULTILINE
    )
    assert found
    return int(found[1])


FORMAT = number_in("common.lua", "LEDGER_FORMAT")
WRITTEN_AND_BEFORE = (FORMAT, FORMAT - 1)


@pytest.fixture
def empty(redis_url: str) -> Iterator[OnRedis]:
    backend = OnRedis(redis_url)
    yield backend
    backend.lose()
    backend.ledger.close()


class Kept:
    """A ledger that finds what another process left behind."""

    def __init__(
        self,
        backend: OnRedis,
        number: int,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> None:
        """Open it, after what befell it `meanwhile`."""
        self.backend, self.ledger = backend, backend.ledger
        self.left = Snapshot.read(number)
        self.now_ms = load(backend.client, backend.namespace, self.left)
        meanwhile()
        self.epoch = self.ledger.membership.beat().pulse.epoch
        self.number = 100

    def admission(self, state: str, again: int = 0, payload: bytes = PAYLOAD):
        return history.admission(state, self.now_ms, again, payload)

    def admit(self, *which) -> list[Admitted]:
        return self.ledger.admit(self.epoch, [self.admission(*one) for one in which])

    def state(self, name: str) -> State | None:
        (view,) = self.ledger.inspect(self.epoch, [key_of(name)])
        return view.state if view else None

    def take(self, name: str, turn: int, worker: str = "w2") -> Taken | None:
        """List it, and have a worker take it."""
        self.number += 1
        member = Member(key_of(name), hash_value(PAYLOAD), turn, 0)
        lists = (PoolList(MODEL, ENDPOINT, (member,)),)
        revision = self.ledger.operations.orders(self.epoch, "b1").revision
        plan = Plan(DISPATCHER, self.number, revision, "", lists)
        assert self.ledger.plan(self.epoch, plan).outcome is PlanOutcome.PLANNED
        self.ledger.membership.beat_worker(worker, {MODEL: 1}, LONG_MS)
        asked = Turn(
            worker,
            self.number,
            self.number - 1,
            LONG_MS,
            models=(MODEL,),
            lease_ids=(f"new-{name}",),
        )
        return next(iter(self.ledger.turn(self.epoch, asked).taken), None)

    def run(self, name: str, turn: int) -> None:
        """From READY to the end."""
        at = (self.epoch, key_of(name))
        # Its time may still be to come, by milliseconds.
        taken = eventually(lambda: self.take(name, turn))
        assert (taken.payload, taken.facts) == (PAYLOAD, self.admission(name).facts)
        assert taken.turn == turn + 1
        assert self.ledger.complete(*at, f"new-{name}", REPLY, OK)
        assert self.ledger.published(*at, REPLY_AT)


@pytest.fixture(params=WRITTEN_AND_BEFORE, ids=lambda number: f"format-{number}")
def kept(request: pytest.FixtureRequest, empty: OnRedis) -> Kept:
    return Kept(empty, request.param)


def test_the_epoch_goes_on(kept: Kept):
    assert kept.epoch == kept.left.epoch
    found = kept.backend.client.hgetall(f"{kept.backend.namespace}:epoch")
    assert (int(found[b"count"]), int(found[b"format"])) == (2, FORMAT)


def test_every_request_is_found_in_its_state(kept: Kept):
    ready = ("ready", "attached", "returned", "crashed", "rung", "ending")
    assert {name: kept.state(name) for name in OFFSETS} == {
        **dict.fromkeys(ready, State.READY),
        "running": State.RUNNING,
        "done": State.DONE,
        "answered": State.ANSWERED,
        "cancelled": None,
    }


def test_the_ready_set_and_the_slots_are_read(kept: Kept):
    found = kept.ledger.snapshot(kept.epoch)
    assert {entry.facts.correlation_id: entry.turn for entry in found.ready} == {
        "c-1": 0,
        "c-2": 0,
        "c-3": 1,
        "c-4": 1,
        "c-5": 1,
    }
    assert {entry.payload_hash for entry in found.ready} == {hash_value(PAYLOAD)}
    assert {entry.facts for entry in found.ready} == {
        kept.admission(name).facts
        for name in ("ready", "attached", "returned", "crashed", "rung")
    }
    assert {
        (slot.key, slot.model, slot.endpoint, slot.cls) for slot in found.slots
    } == {(key_of(name), MODEL, ENDPOINT, "high") for name in ("running",)}


def test_the_change_log_is_read(kept: Kept):
    _, changes = kept.ledger.changes(kept.epoch, "0-0", 0)
    if kept.left.format < 3:
        assert changes == [], "hints that nobody needs any more"
        return
    kinds = [change.kind.value for change in changes]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "orders": 5,
        "ready": 12,
        "taken": 6,
        "freed": 5,
        "left": 1,
        "ending": 2,
        "settled": 3,
    }


def test_every_request_goes_on_to_its_end(kept: Kept):
    ledger, epoch = kept.ledger, kept.epoch
    turns = {"ready": 0, "attached": 0, "returned": 1, "crashed": 1, "rung": 1}
    for name, turn in turns.items():
        kept.run(name, turn)
    running, lease = key_of("running"), "lease-running"
    assert ledger.renew(epoch, {running: lease}, LONG_MS) == {running: True}
    assert ledger.complete(epoch, running, lease, REPLY, OK)
    assert ledger.published(epoch, running, REPLY_AT)
    stored = ledger.reply(epoch, key_of("done"))
    assert stored is not None
    assert (stored.value, stored.facts) == (REPLY, kept.admission("done").facts)
    assert stored.payload_hash == kept.admission("done").payload_hash
    assert ledger.complete(epoch, key_of("done"), "lease-done", REPLY, OK)
    assert ledger.published(epoch, key_of("done"), REPLY_AT)
    (ending,) = ledger.inspect(epoch, [key_of("ending")])
    assert ending is not None
    assert ending.ending is Ending.CANCELLED
    assert ledger.complete(epoch, key_of("ending"), None, REPLY, OK)
    assert ledger.published(epoch, key_of("ending"), REPLY_AT)

    view = ledger.partition(epoch, SOURCE, 0, 1_000)
    asked = {OFFSETS[name] for name in OFFSETS if name != "cancelled"}
    sent_again = {OFFSETS["attached"] + AGAIN, OFFSETS["answered"] + AGAIN}
    assert view.live == {}
    assert {at for run in view.done for at in run} == asked | sent_again | {SETTLED}
    assert ledger.totals(epoch)[MODEL].in_flight == 0
    found = ledger.snapshot(epoch)
    assert (found.ready, found.slots) == ((), ())


def test_a_request_of_format_2_that_crashed_comes_back_with_its_turn(empty: OnRedis):
    kept = Kept(empty, 2)
    running = key_of("running")
    root = f"{empty.namespace}:{kept.epoch}:"
    empty.client.hset(f"{root}req:{running}", "lease_end", 1)
    assert kept.ledger.expire(kept.epoch, running)
    found = kept.ledger.snapshot(kept.epoch).ready
    (entry,) = (one for one in found if one.facts.key == running)
    assert (entry.turn, entry.crashes) == (1, 1)
    assert kept.ledger.withdraw(kept.epoch, [running]) == [False]
    kept.run("running", 1)


def test_format_2_is_made_anew_once(empty: OnRedis):
    kept = Kept(empty, 2)
    before = kept.ledger.snapshot(kept.epoch).ready
    assert kept.take("rung", 1)
    kept.ledger.membership.beat()
    after = {entry.facts.key for entry in kept.ledger.snapshot(kept.epoch).ready}
    assert after == {entry.facts.key for entry in before} - {key_of("rung")}


def test_what_format_2_left_without_an_entry_stops_no_heartbeat(empty: OnRedis):
    def lose() -> None:
        for name in ("ready", "rung"):
            (entry,) = empty.client.scan_iter(f"*req:{key_of(name)}")
            empty.client.delete(entry)
        (entry,) = empty.client.scan_iter(f"*req:{key_of('returned')}")
        empty.client.hdel(entry, "ring")

    kept = Kept(empty, 2, lose)
    found = {one.facts.key: one.turn for one in kept.ledger.snapshot(kept.epoch).ready}
    assert found == {
        key_of(n): t for n, t in (("attached", 0), ("returned", 0), ("crashed", 1))
    }
    kept.run("returned", 0)


def test_an_answered_request_is_known_by_all_that_is_left_of_it(kept: Kept):
    at = (kept.epoch, key_of("answered"))
    replayed, attached, sent_again, other = kept.admit(
        ("answered",),
        ("answered", AGAIN),
        ("answered", 2 * AGAIN),
        ("answered", 3 * AGAIN, CONFLICTING),
    )
    assert {replayed.outcome, attached.outcome} == {AdmitOutcome.SAME}
    assert sent_again == Admitted(AdmitOutcome.REPEATED, State.ANSWERED, REPLY_AT)
    assert other.outcome is AdmitOutcome.CONFLICT
    assert kept.ledger.complete(*at, "lease-answered", REPLY, OK)
    assert not kept.ledger.complete(*at, "another", REPLY, OK)
    assert kept.ledger.published(*at, REPLY_AT)


def test_a_request_that_was_cancelled_unread_is_still_cancelled(kept: Kept):
    (answer,) = kept.admit(("cancelled",))
    assert answer.outcome is AdmitOutcome.CANCELLED


def test_an_attached_record_is_known_again(kept: Kept):
    (answer,) = kept.admit(("attached", AGAIN))
    assert answer == Admitted(AdmitOutcome.SAME, State.READY)


def test_what_a_bridge_knew_of_its_partitions_is_read(kept: Kept):
    assert kept.ledger.partition(kept.epoch, OTHER_SOURCE, 0, 9).watermark == 5


def test_the_orders_of_operators_hold(kept: Kept):
    found = kept.ledger.operations.orders(kept.epoch, "another bridge")
    assert {(one.kind, one.name, one.by, one.reason) for one in found.controls} == {
        (one.kind, one.name, one.by, one.reason) for one in CONTROLS
    }
    assert not any(one.written for one in found.controls)
    assert found.questions == (history.QUESTION,)
    assert kept.ledger.operations.orders(kept.epoch, "b1").questions == ()


def test_who_is_there_is_known(kept: Kept):
    (reported,) = kept.ledger.operations.reports()
    assert reported.report == history.REPORT
    assert kept.ledger.operations.answers(history.QUESTION.id) == {"b1": history.FOUND}
    assert kept.ledger.membership.live_slots() == {MODEL: 7}
    (worker,) = kept.ledger.views.workers()
    assert worker.http == "127.0.0.1:9102"
    assert not kept.ledger.membership.lead("another", LONG_MS)


# -- what is written -----------------------------------------------------------------


def test_what_is_written_is_the_sample(empty: OnRedis):
    written = history.write(empty.ledger)
    about = {"format": FORMAT, "written_by": ""}
    now = take(empty.client, empty.namespace, written.epoch, written.at_ms, **about)
    before = Snapshot.read(FORMAT)
    ours, sample = now.shape(), before.shape()
    different = {
        name: (sample.get(name), ours.get(name))
        for name in sample.keys() | ours.keys()
        if sample.get(name) != ours.get(name)
    }
    assert not different, (
        "the ledger's keys in Redis have changed: raise LEDGER_FORMAT in"
        " agentsched/ledger/lua/common.lua, read both, and keep this sample as the one of"
        f" the version before (tests/golden/README.md): {different}"
    )


# -- what is newer -------------------------------------------------------------------

STEPS = {
    "beat": lambda k: k.ledger.membership.beat(),
    "beat_worker": lambda k: k.ledger.membership.beat_worker("w2", {MODEL: 1}, LONG_MS),
    "lead": lambda k: k.ledger.membership.lead(DISPATCHER, LONG_MS),
    "impose": lambda k: k.ledger.operations.impose(CONTROLS[0]),
    "admit": lambda k: k.admit(("answered",)),
    "plan": lambda k: k.ledger.plan(k.epoch, Plan(DISPATCHER, 9, 0, "", ())),
    "turn": lambda k: k.ledger.turn(k.epoch, Turn("w1", 9, 8, LONG_MS)),
    "snapshot": lambda k: k.ledger.snapshot(k.epoch),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_newer_ledger_is_refused_by_every_step(empty: OnRedis, step: str):
    kept = Kept(empty, FORMAT)
    epoch = f"{empty.namespace}:epoch"
    empty.client.hset(epoch, "format", FORMAT + 1)
    before = empty.save()
    with pytest.raises(NewerFormat, match="upgrade this process"):
        STEPS[step](kept)
    assert {name: dump for name, (dump, _) in empty.save().items()} == {
        name: dump for name, (dump, _) in before.items()
    }


def test_an_error_names_both_what_is_newer_and_its_version(empty: OnRedis):
    empty.client.hset(f"{empty.namespace}:epoch", "format", FORMAT + 1)
    with pytest.raises(NewerFormat, match=f"a ledger of version {FORMAT + 1}"):
        empty.ledger.membership.beat()


@pytest.mark.parametrize(
    ("name", "script", "constant"),
    [
        ("ledger", "common.lua", "LEDGER_FORMAT"),
        ("tombstones", "tombstones.lua", "TOMBSTONE_VERSION"),
    ],
)
def test_the_page_of_formats_says_what_the_scripts_do(name, script, constant):
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {name} |"))
    _, _, _, version, *_, where, _ = row.split("|")
    assert int(version) == number_in(script, constant)
    assert where.strip() == f"`agentsched/ledger/lua/{script}`"
