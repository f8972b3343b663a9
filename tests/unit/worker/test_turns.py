"""What goes into a turn of a worker process, and what follows from its answer."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from agentsched.errors import EpochChanged, LedgerError, LedgerUnavailable
from agentsched.ledger.turns import (
    MAX_STEPS,
    UNTOLD,
    Completion,
    HandBack,
    Publication,
    Taken,
    TurnAnswer,
)
from agentsched.ledger.values import CallOutcome
from agentsched.wire.records import RecordAt
from agentsched.worker.turns import Room, Sent, Step, Turns, Wish
from tests.support.requests import facts

EPOCH = "e1"
FREE = Room(slots=2, children=4)
BUSY = Room(slots=0, children=4)
LOST = LedgerUnavailable("scripted")


@dataclass
class Desk:
    """One process's turns, and what its steps were told."""

    turns: Turns = field(default_factory=lambda: Turns("w", ["m"], 15.0, 5.0))
    told: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns.beaten(EPOCH)

    def add(self, step: Step, epoch: str = EPOCH, until_s: float = 99.0) -> None:
        self.turns.add(Wish(epoch, step, until_s, self.told.append))

    def next(self, now_s: float = 0.0, room: Room = FREE) -> Sent:
        sent = self.turns.next(now_s, room)
        assert sent is not None
        return sent

    def take(self, now_s: float = 0.0, room: Room = FREE, n: int = 0) -> Sent:
        """A whole turn, which takes `n` requests."""
        sent = self.next(now_s, room)
        taken = tuple(request(lease) for lease in sent.turn.lease_ids[:n])
        self.turns.answered(TurnAnswer(taken=taken), now_s)
        return sent


def request(lease_id: str) -> Taken:
    return Taken("k", lease_id, facts(), b"", "", "m", "e", 1, 1, 1000, 0, 0)


def completion(key: str = "k", reply: bytes = b"r") -> Completion:
    return Completion(key, "lease", reply, CallOutcome(ok=True))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_every_free_slot_brings_a_lease_of_its_own(desk: Desk) -> None:
    turn = desk.next().turn
    assert (len(set(turn.lease_ids)), turn.free_slots, turn.free_children) == (2, 2, 4)
    assert turn.models == ("m",)


def test_nothing_is_asked_before_an_epoch_is_known() -> None:
    turns = Turns("w", ["m"], 15.0, 5.0)
    turns.ask()
    assert turns.next(0.0, FREE) is None


def test_slots_that_found_nothing_wait(desk: Desk) -> None:
    desk.take()
    assert desk.turns.next(0.0, FREE) is None


def test_what_rings_makes_them_ask_again(desk: Desk) -> None:
    desk.take()
    desk.turns.ask()
    assert desk.next().turn.number == 2


def test_a_turn_that_filled_all_its_leases_is_followed_by_another(desk: Desk) -> None:
    desk.take(n=2)
    assert desk.turns.next(0.0, FREE) is not None


def test_a_turn_that_has_its_bytes_is_followed_by_another(desk: Desk) -> None:
    sent = desk.next()
    taken = (request(sent.turn.lease_ids[0]),)
    desk.turns.answered(TurnAnswer(taken=taken, more=True), 0.0)
    assert not desk.turns.short
    assert desk.next(room=Room(1, 4)).turn.number == 2


def test_a_bell_is_acknowledged_when_its_turn_has_an_answer(desk: Desk) -> None:
    acknowledged: list[str] = []
    desk.turns.ask(lambda: acknowledged.append("bell"))
    desk.next()
    assert acknowledged == []
    desk.turns.answered(TurnAnswer(), 0.0)
    assert acknowledged == ["bell"]


def test_a_bell_of_a_busy_process_waits_for_a_turn_that_can_take(desk: Desk) -> None:
    acknowledged: list[str] = []
    desk.turns.ask(lambda: acknowledged.append("bell"))
    desk.add(completion())
    desk.next(room=BUSY)
    desk.turns.answered(TurnAnswer(completed=(True,)), 0.0)
    assert acknowledged == []
    desk.take()
    assert acknowledged == ["bell"]


def test_a_bell_that_rings_during_a_turn_is_not_missed(desk: Desk) -> None:
    desk.next()
    desk.turns.ask()
    desk.turns.answered(TurnAnswer(), 0.0)
    assert desk.turns.next(0.0, FREE) is not None


def test_one_turn_is_outstanding_and_repeated_with_the_same_bytes(desk: Desk) -> None:
    first = desk.next()
    desk.add(completion())
    desk.turns.unanswered(LOST, 1.0)
    assert desk.next(1.0, BUSY) is first


def test_steps_are_told_their_own_answers(desk: Desk) -> None:
    told: dict[str, Any] = {}
    steps: dict[str, Step] = {
        "back": HandBack("k1", "l1"),
        "done": completion("k2"),
        "published": Publication("k3", RecordAt("results", 0, 1)),
    }
    for name, step in steps.items():

        def tell(answer: Any, name: str = name) -> None:
            told[name] = answer

        desk.turns.add(Wish(EPOCH, step, 99.0, tell))
    desk.next()
    desk.turns.answered(
        TurnAnswer(published=(True,), completed=(False,), put_back=(True,)), 0.0
    )
    assert told == {"back": True, "done": False, "published": True}


def test_the_next_turn_says_which_answer_was_seen(desk: Desk) -> None:
    desk.take(n=2)
    assert (desk.next().turn.number, desk.next().turn.seen) == (2, 1)


def test_an_answer_that_comes_too_late_starts_nothing(desk: Desk) -> None:
    sent = desk.next(0.0)
    taken = (request(sent.turn.lease_ids[0]),)
    assert desk.turns.answered(TurnAnswer(taken=taken), 8.0) == ()
    # The ledger puts back what was taken above `seen`.
    assert (desk.next(8.0).turn.number, desk.next(8.0).turn.seen) == (2, 0)


def test_a_late_answer_still_counts_for_the_steps(desk: Desk) -> None:
    desk.add(completion())
    desk.next(0.0)
    desk.turns.answered(TurnAnswer(completed=(True,)), 9.0)
    assert desk.told == [True]


def test_a_turn_is_given_up_before_its_leases_may_be_over(desk: Desk) -> None:
    desk.add(completion())
    first = desk.next(0.0)
    desk.turns.unanswered(LOST, 7.9)
    assert desk.next(7.9) is first
    desk.turns.unanswered(LOST, 13.0)
    second = desk.next(8.0)
    assert (second.turn.number, second.turn.seen) == (2, 0)
    assert second.turn.completions == first.turn.completions
    assert set(second.turn.lease_ids).isdisjoint(first.turn.lease_ids)


def test_a_step_whose_time_is_over_ends_with_its_turn(desk: Desk) -> None:
    desk.add(completion(), until_s=5.0)
    desk.next(0.0)
    desk.turns.unanswered(LOST, 6.0)
    assert desk.told == []  # it may have been done: the same bytes again
    desk.turns.unanswered(LOST, 13.0)
    assert desk.told == [LOST]
    assert desk.next(8.0).turn.completions == ()


def test_the_bell_of_a_turn_that_was_given_up_rings_on(desk: Desk) -> None:
    acknowledged: list[str] = []
    desk.turns.ask(lambda: acknowledged.append("bell"))
    desk.next(0.0)
    desk.turns.unanswered(LOST, 13.0)
    assert acknowledged == []
    desk.take(8.0)
    assert acknowledged == ["bell"]


def test_a_turn_has_so_many_steps_at_the_most(desk: Desk) -> None:
    for n in range(MAX_STEPS + 1):
        desk.add(completion(f"k{n}"))
    first = desk.next(room=Room(100, 4)).turn
    assert (len(first.completions), len(first.lease_ids)) == (MAX_STEPS, MAX_STEPS)
    assert first.free_slots == 100
    desk.turns.answered(TurnAnswer(completed=(True,) * MAX_STEPS), 0.0)
    assert [one.key for one in desk.next().turn.completions] == [f"k{MAX_STEPS}"]


def test_a_turn_has_so_many_bytes_at_the_most(desk: Desk) -> None:
    desk.add(completion("large", b"x" * 5_000_000))
    desk.add(completion("small"))
    assert [one.key for one in desk.next().turn.completions] == ["large"]
    desk.turns.answered(TurnAnswer(completed=(True,)), 0.0)
    assert [one.key for one in desk.next().turn.completions] == ["small"]


def test_a_new_epoch_drops_the_steps_of_the_old_one(desk: Desk) -> None:
    desk.add(completion())
    desk.next()
    desk.add(completion("k2"))
    changed = EpochChanged("scripted")
    desk.turns.refused(changed)
    assert desk.told == [changed, changed]
    assert desk.turns.next(0.0, FREE) is None


def test_takes_go_on_in_the_epoch_that_a_heartbeat_names(desk: Desk) -> None:
    desk.next()
    desk.turns.refused(EpochChanged("scripted"))
    desk.turns.beaten("e2")
    assert desk.next().epoch == "e2"


def test_steps_go_to_the_epoch_in_which_they_were_taken(desk: Desk) -> None:
    desk.take()
    desk.add(completion())
    desk.turns.beaten("e2")
    sent = desk.next()
    assert (sent.epoch, sent.turn.lease_ids) == (EPOCH, ())
    assert sent.turn.free_slots == UNTOLD
    desk.turns.answered(TurnAnswer(completed=(True,)), 0.0)
    assert desk.next().epoch == "e2"


def test_an_old_doorbell_does_not_take_the_epoch_away(desk: Desk) -> None:
    desk.take()
    desk.turns.epochs.name("e0", sure=False)
    desk.turns.ask()
    desk.next()
    desk.turns.refused(EpochChanged("scripted"))
    assert desk.next().epoch == EPOCH
    assert not desk.turns.epochs.name("e0", sure=False)


def test_an_epoch_that_was_refused_counts_when_a_heartbeat_names_it(desk: Desk) -> None:
    """Redis's replica was asked for a moment, and knew none."""
    desk.next()
    desk.turns.refused(EpochChanged("scripted"))
    desk.turns.beaten(EPOCH)
    assert desk.next().epoch == EPOCH


def test_who_took_nothing_for_want_of_a_heartbeat_asks_after_the_next(
    desk: Desk,
) -> None:
    desk.next()
    desk.turns.answered(TurnAnswer(refused=True), 0.0)
    assert desk.turns.next(0.0, FREE) is None
    assert not desk.turns.short, "it fetches no doorbell"
    desk.turns.beaten(EPOCH)
    assert desk.turns.next(0.0, FREE) is not None


def test_after_a_broken_turn_another_goes_out_which_has_its_takes_put_back(
    desk: Desk,
) -> None:
    acknowledged: list[str] = []
    desk.turns.ask(lambda: acknowledged.append("bell"))
    desk.next()
    desk.turns.refused(LedgerError("scripted"))
    assert acknowledged == []
    turn = desk.take().turn
    assert (turn.number, turn.seen, len(turn.lease_ids)) == (2, 0, 2)
    assert acknowledged == ["bell"]


def test_who_closes_tries_no_step_longer_than_it_may(desk: Desk) -> None:
    desk.add(completion(), until_s=600.0)
    first = desk.next(0.0)
    desk.turns.unanswered(LOST, 2.9, 3.0)
    assert desk.next(2.9) is first
    desk.turns.unanswered(LOST, 3.0, 3.0)
    assert (desk.told, desk.turns.idle) == ([LOST], True)


def test_who_leaves_with_a_turn_that_had_no_answer_sends_one_more(desk: Desk) -> None:
    desk.next(0.0)
    desk.turns.unanswered(LOST, 13.0)
    assert desk.turns.part()
    turn = desk.next(13.0, BUSY).turn
    assert (turn.number, turn.seen, turn.lease_ids) == (2, 0, ())
    desk.turns.unanswered(LOST, 30.0)
    assert not desk.turns.part(), "once: Redis may be away for long"
    assert desk.turns.next(30.0, BUSY) is None


def test_who_leaves_after_an_answer_sends_no_more(desk: Desk) -> None:
    desk.take()
    assert not desk.turns.part()
