"""The values of `plan` and `turn`: what the dispatcher lists, what a worker takes.

A pool is one endpoint of one model. The dispatcher replaces the list of a pool as a whole;
being listed is no state, the entry stays READY. A worker process does all of its steps, for
all of its slots, in one `turn` after the other (design, section 9).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from agentsched.ledger.values import CallOutcome, PutBack
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts

LAST_TURN_KEPT_MS = 60_000
"""How long a process's last turn is remembered after its heartbeat: should the heart beat
again, a late message must not pass for a new turn."""
MAX_LISTED = 256
"""Members of one list (design, section 9)."""
MAX_STEPS = 64
"""Steps of one turn: published, complete and put_back together, and as many takes."""
SUSPECT_CRASHES = 2
"""Leases that ran out: from then on a request runs in a child process only."""
UNTOLD = -1
"""Of free slots: this turn says nothing of them."""
MAX_TURN_BYTES = 4_194_304
"""Replies in one turn, all together; one alone may be larger. The same for the payloads
that it takes: after so many bytes no other request is taken."""


@dataclass(frozen=True, slots=True)
class Member:
    """One request in the list of a pool; void once the entry is not as it says."""

    key: str
    payload_hash: str
    """32 hex digits: admitted again with other content, it is another one."""
    turn: int
    """How often it was taken before; each take raises it."""
    order: int
    """Smaller is taken first where one process serves several pools; -2**53 to 2**53."""


@dataclass(frozen=True, slots=True)
class PoolList:
    """What may start in one pool, first come first."""

    model: str
    endpoint: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one round of the dispatcher decided."""

    dispatcher_id: str
    number: int
    """Grows with each plan of this dispatcher. A smaller one is refused; the same again
    is answered again and changes nothing."""
    revision: int
    """Of limits and orders, as the dispatcher knows them."""
    seen: str
    """Place in the change log of the last change that the dispatcher has seen; "": none."""
    lists: tuple[PoolList, ...]
    """Those that changed; each replaces its pool's whole list."""


class PlanOutcome(StrEnum):
    """What `plan` did; all but PLANNED had no effect."""

    PLANNED = "planned"
    NOT_DISPATCHER = "not_dispatcher"
    """The dispatcher lease is somebody else's, or over."""
    OLD_REVISION = "old_revision"
    """Limits or orders have changed: read them, and plan again."""
    OLD_NUMBER = "old_number"
    """A later plan was there first."""
    GONE = "gone"
    """The change log has not got `seen`: Redis was put back."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Free slots of one worker process, which wait for a doorbell."""

    worker_id: str
    slots: int
    models: tuple[str, ...]
    """Which models they may run."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The answer of `plan`."""

    outcome: PlanOutcome
    revision: int = 0
    """The one in force."""
    parked: tuple[Parked, ...] = ()
    """Of the live workers."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A reply to store: RUNNING under `lease_id` -> DONE."""

    key: str
    lease_id: str
    reply: bytes = field(repr=False)
    outcome: CallOutcome
    keeps_slot: bool = False
    """The call goes on all the same (its hard limit is over): its slot stays in use until
    its lease is over, as after a `complete` without a lease."""


@dataclass(frozen=True, slots=True)
class HandBack:
    """A request to put back: RUNNING under `lease_id` -> READY; see `Ledger.put_back`."""

    key: str
    lease_id: str
    delay_ms: int = 0
    why: PutBack = PutBack.STOPPED
    crashes_most: int = 0


@dataclass(frozen=True, slots=True)
class Publication:
    """A reply that Kafka has acknowledged: DONE -> ANSWERED."""

    key: str
    reply_at: RecordAt


@dataclass(frozen=True, slots=True)
class Turn:
    """All that one worker process wants of the ledger now. Repeat it as it is."""

    worker_id: str
    """This incarnation of the process, as its heartbeat names it."""
    number: int
    """1, 2, 3 ... ; the same again: the same takes again, nothing more."""
    seen: int
    """The last number whose answer has arrived: what was taken after it is put back."""
    lease_ms: int
    published: tuple[Publication, ...] = ()
    completions: tuple[Completion, ...] = ()
    hand_backs: tuple[HandBack, ...] = ()
    models: tuple[str, ...] = ()
    """Whose pools it takes from."""
    lease_ids: tuple[str, ...] = ()
    """One for each request that it would start, random and new."""
    free_children: int = 0
    """How many suspects it could run now."""
    free_slots: int = 0
    """Slots that are free before it; what of them stays free is recorded as parked.
    UNTOLD: the record stays as it is."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One request that a turn has started: it is RUNNING under `lease_id`."""

    key: str
    lease_id: str
    facts: RequestFacts
    payload: bytes = field(repr=False)
    payload_hash: str
    model: str
    endpoint: str
    turn: int
    """Its number among the takes of this request, from 1."""
    attempt: int
    """1 for the first start that counts."""
    time_left_ms: int
    """Until the deadline."""
    queued_ms: int
    """From the broker's append time until now."""
    crashes: int
    """How often its lease has run out: whoever ran it may have died of it."""


@dataclass(frozen=True, slots=True)
class TurnAnswer:
    """What a turn did, step by step, in the order in which they were given."""

    published: tuple[bool, ...] = ()
    """False: the ledger does not know the request."""
    completed: tuple[bool, ...] = ()
    """Whether this reply is the stored one."""
    put_back: tuple[bool, ...] = ()
    taken: tuple[Taken, ...] = ()
    refused: bool = False
    """It took nothing because no heartbeat of the process lives, or because a later turn
    of it has been done."""
    more: bool = False
    """It took no more because that has `MAX_TURN_BYTES`: the next turn may find something."""
