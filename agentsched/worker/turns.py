"""What a worker process wants of the ledger next: one `turn` after the other; pure.

It owns the rules of section 9 of the design: one turn is outstanding, repeated with the
same bytes, and given up before a lease that it may have got is over. It calls nobody.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import urandom

from agentsched.errors import EpochChanged, LedgerError
from agentsched.ledger.turns import (
    MAX_STEPS,
    MAX_TURN_BYTES,
    UNTOLD,
    Completion,
    HandBack,
    Publication,
    Taken,
    Turn,
    TurnAnswer,
)

GIVE_UP_S = 2.0
"""So long before the last renewal that a lease can have nothing is begun under it."""

Step = Publication | Completion | HandBack
Acknowledge = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """One step that waits for a turn."""

    epoch: str
    step: Step
    until_s: float
    """When the turn that carries it fails after this time, it is given up."""
    tell: Callable[[bool | Exception], None]
    """Takes its answer, or why there is none; called once."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a process has free, at one moment."""

    slots: int
    """That may be filled; 0 also where none may be filled now."""
    children: int
    """For suspects."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A turn that is under way."""

    epoch: str
    turn: Turn
    sent_s: float
    """When it was sent first."""
    wishes: tuple[Wish, ...]
    """In the order of its steps."""
    bells: tuple[Acknowledge, ...]
    """Acknowledged when it has an answer."""


class Epochs:
    """Which epoch a turn is for: what heartbeats and doorbells named, the last first."""

    def __init__(self) -> None:
        self._named: list[str] = []
        self._refused = ""

    @property
    def current(self) -> str:
        """The one to take from; "": none is known."""
        return self._named[-1] if self._named else ""

    def name(self, epoch: str, *, sure: bool) -> bool:
        """Take note of one; returns whether it is another than before.

        Args:
            epoch: its id; "" names none.
            sure: the ledger itself named it just now. A doorbell may be old.
        """
        if not epoch or epoch == self.current:
            return False
        if epoch == self._refused and not sure:
            return False
        if epoch in self._named:
            if not sure:
                return False  # an old doorbell
            self._named.remove(epoch)
        self._named = [*self._named[-1:], epoch]
        return True

    def refuse(self, epoch: str) -> None:
        """The ledger has another one, or none."""
        self._refused = epoch
        if epoch in self._named:
            self._named.remove(epoch)


class Turns:
    """Decides what goes into the next turn, and what follows from its answer.

    Args:
        worker_id: this incarnation of the process.
        models: whose pools it takes from.
        lease_s: of what it takes.
        renew_s: how often leases are renewed.
        new_id: makes a random lease id.
    """

    def __init__(
        self,
        worker_id: str,
        models: Sequence[str],
        lease_s: float,
        renew_s: float,
        new_id: Callable[[], str] = lambda: urandom(16).hex(),
    ) -> None:
        self._worker_id = worker_id
        self._models = tuple(models)
        self._lease_ms = round(lease_s * 1000)
        # What was taken so late must still be there when leases are renewed next.
        left_s = lease_s - renew_s
        self.patience_s = max(left_s - GIVE_UP_S, left_s / 2)
        """How long a turn is repeated, and what it took may be begun."""
        self._new_id = new_id
        self._wishes: deque[Wish] = deque()
        self._bells: list[Acknowledge] = []
        self._asks = self._unheard = self._parts = self._parted = False
        self._number = self._seen = 0
        self._short = False
        self.epochs = Epochs()
        self.outstanding: Sent | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way and no step waits."""
        return self.outstanding is None and not self._wishes

    @property
    def short(self) -> bool:
        """Whether the last turn that could take found too little: what is free waits.

        Not so without a live heartbeat: what rings then is for others.
        """
        return self._short and not self._unheard

    def add(self, wish: Wish) -> None:
        """Have one step done in the next turn."""
        self._wishes.append(wish)

    def ask(self, bell: Acknowledge | None = None) -> None:
        """Have free slots filled: something rang, or there is more room.

        Args:
            bell: called when a turn that could take something has its answer.
        """
        self._asks = True
        if bell is not None:
            self._bells.append(bell)

    def hush(self) -> None:
        """Nothing is free, and may not be for long: what rang rings for others."""
        bells, self._bells = self._bells, []
        for bell in bells:
            bell()

    def beaten(self, epoch: str) -> None:
        """A heartbeat has got through, which takes need; it named this epoch."""
        if self.epochs.name(epoch, sure=True) or self._unheard:
            self._unheard = self._short = False
            self._asks = True

    def part(self) -> bool:
        """The process leaves; return whether one turn more is to be sent for that.

        It is, once, where the answer of the last turn did not arrive: what that took
        would run nowhere until its lease is over, and count as crashed.
        """
        if self._parted or self._number == self._seen or not self.epochs.current:
            return False
        self._parts = self._parted = True
        return True

    def next(self, now_s: float, room: Room) -> Sent | None:
        """Return the turn to send now: the same again while one has no answer.

        None: there is nothing to do.
        """
        wanted = self._wishes or self._parts or (self._asks and room.slots)
        if self.outstanding is None and wanted:
            self.outstanding = self._compose(now_s, room)
        return self.outstanding

    def answered(self, answer: TurnAnswer, now_s: float) -> tuple[Taken, ...]:
        """Tell the steps what became of them; return what has to be started.

        That is nothing where the answer came too late: leases may be over soon, and the
        next turn has the ledger put back what this one took.

        Raises:
            ValueError: it is no answer to this turn, which is under way still.
        """
        results = (*answer.published, *answer.completed, *answer.put_back)
        if self.outstanding is None or len(results) != len(self.outstanding.wishes):
            raise ValueError("the answer does not fit the turn")
        sent = self._ended()
        for wish, done in zip(sent.wishes, results, strict=True):
            wish.tell(done)
        for bell in sent.bells:
            bell()
        self._unheard = answer.refused
        more = answer.more or len(answer.taken) == len(sent.turn.lease_ids)
        if sent.turn.lease_ids:
            self._short = not more
        late = now_s - sent.sent_s >= self.patience_s
        if not late:
            self._seen = sent.turn.number
        if late or more:
            self._asks = True
        return () if late else answer.taken

    def refused(self, error: Exception) -> None:
        """It ended with an error that it would have again; its steps are over.

        After `EpochChanged` nothing of it was done, and all of that epoch is over. After
        any other, what it took goes back with the next turn, which is asked for at once.
        """
        sent = self._ended()
        dropped = list(sent.wishes)
        if isinstance(error, EpochChanged):
            self.epochs.refuse(sent.epoch)
            dropped += [wish for wish in self._wishes if wish.epoch == sent.epoch]
            self._wishes = deque(w for w in self._wishes if w.epoch != sent.epoch)
            self._asks = bool(self.epochs.current)
            for bell in sent.bells:
                bell()
        else:
            self._asks = True
            self._bells = [*sent.bells, *self._bells]
        for wish in dropped:
            wish.tell(error)

    def unanswered(
        self, error: LedgerError, now_s: float, closing_s: float | None = None
    ) -> None:
        """It may have been done, or not. It stays outstanding, or is given up.

        Args:
            error: why.
            now_s: the time.
            closing_s: given where the process ends: so long since it was sent first it is
                tried, and its steps are over with it. Else `patience_s`, and they have
                the time that they say.
        """
        sent = self.outstanding
        patience_s = min(self.patience_s, closing_s or self.patience_s)
        if sent is None or now_s - sent.sent_s < patience_s:
            return
        self._ended()
        self._asks = True
        self._bells = [*sent.bells, *self._bells]
        over = [w for w in sent.wishes if closing_s is not None or now_s > w.until_s]
        self._wishes.extendleft(reversed([w for w in sent.wishes if w not in over]))
        for wish in over:
            wish.tell(error)

    def _ended(self) -> Sent:
        sent, self.outstanding = self.outstanding, None
        if sent is None:
            raise ValueError("no turn is under way")
        return sent

    def _compose(self, now_s: float, room: Room) -> Sent | None:
        current = self.epochs.current
        epoch = self._wishes[0].epoch if self._wishes else current
        if not epoch:
            return None
        takes = min(room.slots, MAX_STEPS) if epoch == current else 0
        wishes = self._gather(epoch)
        self._parts = False
        self._number += 1
        turn = Turn(
            self._worker_id,
            self._number,
            self._seen,
            self._lease_ms,
            *_by_kind(wishes),
            models=self._models if takes else (),
            lease_ids=tuple(self._new_id() for _ in range(takes)),
            free_children=room.children,
            free_slots=room.slots if takes or not room.slots else UNTOLD,
        )
        bells: tuple[Acknowledge, ...] = ()
        if takes:
            bells, self._bells, self._asks = tuple(self._bells), [], False
        order = (*turn.published, *turn.completions, *turn.hand_backs)
        by_step = {id(wish.step): wish for wish in wishes}
        return Sent(epoch, turn, now_s, tuple(by_step[id(s)] for s in order), bells)

    def _gather(self, epoch: str) -> list[Wish]:
        """Take what fits into one turn, in the order in which it came."""
        chosen: list[Wish] = []
        left: deque[Wish] = deque()
        n_bytes = 0
        while self._wishes and len(chosen) < MAX_STEPS:
            wish = self._wishes.popleft()
            size = len(wish.step.reply) if isinstance(wish.step, Completion) else 0
            if wish.epoch != epoch or (chosen and n_bytes + size > MAX_TURN_BYTES):
                left.append(wish)
                continue
            n_bytes += size
            chosen.append(wish)
        self._wishes.extendleft(reversed(left))
        return chosen


def _by_kind(
    wishes: Sequence[Wish],
) -> tuple[tuple[Publication, ...], tuple[Completion, ...], tuple[HandBack, ...]]:
    steps = [wish.step for wish in wishes]
    return (
        tuple(step for step in steps if isinstance(step, Publication)),
        tuple(step for step in steps if isinstance(step, Completion)),
        tuple(step for step in steps if isinstance(step, HandBack)),
    )
