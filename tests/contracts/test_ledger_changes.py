"""What a dispatcher sees: snapshot, change log, limits, totals, on every adapter."""

from threading import Thread

from agentsched.ledger.turns import PoolList
from agentsched.ledger.values import Admission, Change, ChangeKind, ReadyEntry, Slot
from agentsched.wire.codec import hash_value
from tests.support.ledgers import GPT, GPT_AT, LLAMA, LLAMA_AT, SOURCE, World
from tests.support.waiting import eventually


def _ready_entry(admission: Admission) -> ReadyEntry:
    return ReadyEntry(admission.facts, payload_hash=admission.payload_hash)


def test_a_snapshot_shows_the_ready_set_and_the_slots(world: World):
    ready = world.admission()
    world.admit(ready)
    running = world.running()
    world.done()
    snapshot = world.ledger.snapshot(world.epoch)
    assert snapshot.ready == (_ready_entry(ready),)
    assert snapshot.slots == (Slot(running, GPT, GPT_AT, "high"),)


def test_a_snapshot_has_the_ledgers_time(world: World):
    before = world.backend.now_ms()
    assert before <= world.ledger.snapshot(world.epoch).now_ms
    assert world.ledger.snapshot(world.epoch).now_ms <= world.backend.now_ms()


def test_a_snapshot_shows_turn_and_earliest_start_of_a_retry(world: World):
    key = world.running()
    before = world.backend.now_ms()
    world.ledger.put_back(world.epoch, key, "L1", 60_000)
    after = world.backend.now_ms()
    (entry,) = world.ledger.snapshot(world.epoch).ready
    assert (entry.facts.key, entry.turn) == (key, 1)
    assert before + 60_000 <= entry.not_before_ms <= after + 60_000


def test_a_slot_whose_lease_is_over_is_not_in_the_snapshot(world: World):
    world.crashed()
    assert world.ledger.snapshot(world.epoch).slots == ()


def test_changes_begin_after_the_snapshot(world: World):
    world.ready()
    cursor = world.cursor()
    key = world.ready()
    assert [change.key for change in world.changes_since(cursor)] == [key]


def test_changes_of_an_empty_ledger_begin_at_its_first(world: World):
    cursor = world.cursor()
    assert world.ledger.changes(world.epoch, cursor, 0) == (cursor, [])
    world.ready()
    assert world.kinds_since(cursor) == ["ready"]


def test_an_admitted_request_is_a_change_with_its_facts(world: World):
    cursor = world.cursor()
    admission = world.admission()
    world.admit(admission)
    key = admission.facts.key
    (change,) = world.changes_since(cursor)
    assert change == Change(
        ChangeKind.READY, change.at, key, ready=_ready_entry(admission)
    )


def test_a_request_that_starts_is_a_change_with_its_slot(world: World):
    key = world.ready(cls="low")
    cursor = world.cursor()
    world.take(key, model=LLAMA)
    (change,) = world.changes_since(cursor)
    slot = Slot(key, LLAMA, LLAMA_AT, "low")
    assert change == Change(ChangeKind.TAKEN, change.at, key, slot=slot)


def test_an_answer_is_a_change_for_every_attached_offset(world: World):
    key = world.ready(offset=5)
    world.admit(world.admission(key=key, offset=9))
    world.complete(key)
    cursor = world.cursor()
    world.publish(key)
    changes = world.changes_since(cursor)
    assert {change.kind for change in changes} == {ChangeKind.SETTLED}
    found = sorted((change.key, change.source, change.offset) for change in changes)
    assert found == [(key, SOURCE, 5), (key, SOURCE, 9)]


def test_a_settled_offset_is_a_change(world: World):
    cursor = world.cursor()
    world.ledger.settle(world.epoch, SOURCE, 7)
    (change,) = world.changes_since(cursor)
    assert (change.kind, change.source, change.offset) == ("settled", SOURCE, 7)


def test_a_request_that_runs_through_leaves_these_changes(world: World):
    cursor = world.cursor()
    world.answered()
    assert world.kinds_since(cursor) == ["ready", "taken", "freed", "settled"]


def test_a_request_that_comes_back_leaves_these_changes(world: World):
    key = world.running()
    cursor = world.cursor()
    world.ledger.put_back(world.epoch, key, "L1")
    world.take(key, "L2")
    world.ledger.put_back(world.epoch, key, "L2")
    assert world.kinds_since(cursor) == [
        *("freed", "ready"),
        *("taken", "freed", "ready"),
    ]


def test_a_withdrawn_request_leaves_the_ready_set(world: World):
    key = world.ready()
    cursor = world.cursor()
    world.ledger.withdraw(world.epoch, [key])
    assert world.kinds_since(cursor) == ["left"]


def test_a_ready_request_that_is_answered_leaves_the_ready_set(world: World):
    key = world.ready()
    cursor = world.cursor()
    world.complete(key)
    assert world.kinds_since(cursor) == ["left"]


def test_an_expired_lease_frees_the_slot_once(world: World):
    key = world.crashed()
    cursor = world.cursor()
    world.ledger.expire(world.epoch, key)
    world.ledger.snapshot(world.epoch)
    # The snapshot before may have dropped the slot already.
    assert world.kinds_since(cursor) == ["ready"]


def test_the_end_of_a_voided_lease_is_a_change_once_somebody_looks(world: World):
    key = world.running(ms=300)
    world.complete(key)
    cursor = world.cursor()
    world.backend.advance(301)
    world.ledger.renew(world.epoch, {}, 1)
    assert world.kinds_since(cursor) == ["freed"]


def test_changes_come_in_pages(world: World):
    cursor = world.cursor()
    keys = [world.ready() for _ in range(5)]
    seen = []
    for _ in range(3):
        cursor, page = world.ledger.changes(world.epoch, cursor, 0, 2)
        seen += [change.key for change in page]
    assert seen == keys


def test_every_change_stands_after_the_one_before_and_after_the_snapshot(world: World):
    world.ready()
    places = [world.cursor()]
    start = places[0]
    for _ in range(3):
        world.answered()
    places += [change.at for change in world.changes_since(start)]
    order = [tuple(map(int, place.split("-"))) for place in places]
    assert order == sorted(set(order))


def test_a_reader_that_waits_is_woken_by_a_change(world: World):
    cursor = world.cursor()
    found = []
    # Longer than the test waits: only a change can end it (Redis waits 4 s at most).
    read = lambda: world.ledger.changes(world.epoch, cursor, 60_000)[1]  # noqa: E731
    reader = Thread(target=lambda: found.extend(read()), daemon=True)
    reader.start()
    key = world.ready()
    eventually(lambda: found, timeout_s=30, message="the reader was not woken")
    reader.join()
    assert found[0].key == key


def test_a_reader_without_a_change_returns_after_its_time(world: World):
    cursor = world.cursor()
    assert world.ledger.changes(world.epoch, cursor, 30) == (cursor, [])


def test_new_limits_replace_all_the_old_ones(world: World):
    world.limit(capacity={(LLAMA, LLAMA_AT): 1})
    assert set(world.ledger.totals(world.epoch)) == {LLAMA}
    assert world.take(world.ready(), model=GPT) is None


def test_totals_are_summed_over_the_endpoints_of_a_model(world: World):
    other = "https://gpt-2.example/v1"
    world.limit(capacity={(GPT, GPT_AT): 1, (GPT, other): 1})
    world.running()
    pool = PoolList(GPT, other, (world.member(world.ready()),))
    world.plan(lists=(pool,))
    world.turn("L2")
    assert world.in_flight() == 2


def test_a_model_that_did_nothing_has_zero_totals(world: World):
    totals = world.ledger.totals(world.epoch)[LLAMA]
    assert (totals.in_flight, totals.calls, totals.failed, totals.model_ms) == (0,) * 4


def test_inspect_says_how_overdue_a_request_is(world: World):
    late = world.ready(deadline_ms=world.backend.now_ms() - 500)
    early = world.ready(deadline_ms=world.backend.now_ms() + 60_000)
    assert world.view(late).overdue_ms >= 500
    assert world.view(early).overdue_ms < 0
    assert world.view(world.unknown()) is None


def test_inspect_tells_entries_of_one_payload_from_those_of_another(world: World):
    payloads = [str(number).encode() for number in range(20)]
    for state in (world.ready, world.answered):
        for payload in payloads:
            view = world.view(state(payload=payload))
            fits = [each for each in payloads if view.has_payload(hash_value(each))]
            assert fits == [payload]
