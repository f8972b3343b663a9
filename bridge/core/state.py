"""All that the bridge knows: the index of its partitions and the dispatcher's board.

`step` owns the state that it is given and changes it in place: an index of a
million records is not copied for every event.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from agentsched.ledger.bridge_reports import AgentLoad
from agentsched.ledger.operator_orders import Controls
from agentsched.ledger.values import Admission, PartitionView
from agentsched.scheduling.board import Board
from agentsched.scheduling.floors import ClassFloors
from agentsched.scheduling.lists import Lists
from agentsched.scheduling.order import CLASSES, Rank
from agentsched.scheduling.supply import Supply
from agentsched.wire.commit_state import MAX_CHARACTERS, CommitState
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import InboundRecord, Partition
from agentsched.wire.request_facts import RequestFacts
from bridge.core.commands import Alarm, Cancel, PublishRefusal, RestoreDone, SendRepeat
from bridge.core.doorbells import Bells
from bridge.core.envelope import unpack
from bridge.core.intake import Refused
from bridge.core.offset_tracker import OffsetTracker
from bridge.core.places import Place, PlaceQueue, WorstQueue
from bridge.core.rate import Rate
from bridge.core.rules import Rules

Models = tuple[str, ...]
"""The models that may answer a request: requests with the same ones form a group."""


class Stage(StrEnum):
    """Where an indexed request is, as far as its bridge knows."""

    WAITING = "waiting"
    """In Kafka only."""
    ADMITTING = "admitting"
    READY = "ready"
    LEAVING = "leaving"
    """Being withdrawn."""
    IN_FLIGHT = "in_flight"
    """RUNNING or later; a reply is on its way."""
    REPEATING = "repeating"
    """Answered before: its reply is being sent again."""
    DOUBTED = "doubted"
    """Redis has lost what it knew of it; it is looked up in Kafka before it may run."""


WAITS = (Stage.WAITING, Stage.ADMITTING, Stage.READY, Stage.LEAVING, Stage.DOUBTED)
"""Not started, and not answered either."""


@dataclass(slots=True, eq=False)
class Traits:
    """What many requests of a partition have in common; kept once for all of them."""

    agent_id: str
    group: str
    cls: str
    models: Models
    task_type: str
    reply_topic: str
    topic: str
    partition: int
    source: str
    requests: int = 0
    """How many indexed requests have these."""


@dataclass(slots=True, eq=False)
class Indexed:
    """One unanswered record of a partition of ours.

    There may be a million. So it holds what cannot be worked out from anything else, and
    `facts`, `admission` and `record` are made anew each time.
    """

    traits: Traits
    place: Place
    """What it is queued by; another one each time that it waits."""
    correlation_id: str
    tokens: int
    payload: bytes
    payload_hash: bytes
    envelope: bytes
    """Key and headers of the record, see `envelope.pack`."""
    reply: bytes
    """It is answered with this at once and never runs; empty: it runs."""
    traceparent: str
    """The caller's trace; mostly none."""
    watched: Place
    """As `place`, but with the time at which its deadline is looked at."""
    stage: Stage = Stage.WAITING
    checked_ms: int = 0
    """When the reconciler looked last, or the stage changed."""
    stays: bool = False
    """It could not be withdrawn: it was taken before, or is cancelled."""
    was_admitted: bool = False
    """The ledger knew it once, and a worker may have answered it."""
    repeats: bool = False
    """It was sent again when the reply was stored: once that is in Kafka it is admitted
    anew, and gets the reply again."""
    retry_ms: int = 0
    """Not admitted before this time (the ready set was full)."""

    @property
    def key(self) -> str:
        """The request's key in the ledger."""
        return self.place[3]

    @property
    def offset(self) -> int:
        """The record's offset."""
        return self.place[2]

    @property
    def source(self) -> str:
        """The ledger's name of its partition."""
        return self.place[4]

    @property
    def rank(self) -> Rank:
        """Its place among requests of all classes."""
        deadline_ms, arrival_ms, offset, key, _ = self.place
        return CLASSES.index(self.traits.cls), deadline_ms, arrival_ms, offset, key

    @property
    def may_leave(self) -> bool:
        """Whether it may be withdrawn from the ready set."""
        return self.stage is Stage.READY and not self.stays

    @property
    def size_bytes(self) -> int:
        """Its payload: what it takes of the ready set's byte limit."""
        return len(self.payload)

    @property
    def facts(self) -> RequestFacts:
        """What scheduling and replying need to know of it."""
        deadline_ms, arrival_ms, offset, key, source = self.place
        traits = self.traits
        return RequestFacts(
            key=key,
            agent_id=traits.agent_id,
            correlation_id=self.correlation_id,
            group=traits.group,
            cls=traits.cls,
            models=traits.models,
            task_type=traits.task_type,
            tokens=self.tokens,
            arrival_ms=arrival_ms,
            deadline_ms=deadline_ms,
            topic=traits.topic,
            partition=traits.partition,
            offset=offset,
            source=source,
            reply_topic=traits.reply_topic,
            traceparent=self.traceparent,
        )

    @property
    def admission(self) -> Admission:
        """What is put into the ready set."""
        return Admission(self.facts, self.payload, self.payload_hash.hex(), self.reply)

    @property
    def record(self) -> InboundRecord:
        """The record as it was read."""
        _, arrival_ms, offset, _, _ = self.place
        return unpack(
            self.envelope,
            self.correlation_id,
            topic=self.traits.topic,
            partition=self.traits.partition,
            offset=offset,
            timestamp_ms=arrival_ms,
            value=self.payload,
        )


Entries = dict[Indexed, None]
"""A set in the order of entry: the order of a real one depends on memory addresses, and
the same events would not always give the same commands."""


@dataclass(slots=True, eq=False)
class Doubt:
    """Some offsets of a partition may have been answered: Kafka is asked."""

    end: int
    """Only offsets below it."""
    since_ms: int | None = None
    """No answer was given before this time of Kafka; None: nothing is doubted yet."""
    asked: bool = False
    """The look-up is under way."""


@dataclass(slots=True, eq=False)
class PartitionIndex:
    """One partition that this bridge owns."""

    partition: Partition
    source: str
    end: int
    tracker: OffsetTracker
    entries: dict[int, Indexed] = field(default_factory=dict)
    """offset -> request; refused records are only in the tracker."""
    view: PartitionView | None = None
    """None until the ledger has answered: nothing is admitted before."""
    doubt: Doubt | None = None
    held: list[tuple[InboundRecord, Refused]] = field(default_factory=list)
    """Dead letters, until it is known whether they were sent before."""
    refused: dict[int, int] = field(default_factory=dict)
    """offset -> bytes of memory, of dead letters that are not settled."""
    traits: dict[tuple[object, ...], Traits] = field(default_factory=dict)
    """What its requests have in common, by all of it."""
    size_bytes: int = 0
    """What all this takes in memory, see `bridge.core.index_memory`."""
    paused: bool = False
    was_committed: bool = True
    """Whether Kafka knew a committed offset when the partition came."""
    inherited: tuple[range, ...] = ()
    """What Kafka knows to be answered: below that offset, and what is committed beside it."""
    inherited_state: CommitState | None = None
    """What an earlier owner committed beside the watermark."""
    pulse: EpochCounter = NO_EPOCH
    """The ledger had got so far, and nothing was doubted: what our own notes say."""
    is_taken_over: bool = False
    """Kafka has a commit state of ours: requests may be admitted."""
    sent: tuple[int, int, str] | None = None
    """Watermark, state of the tracker and epoch as they were committed last."""
    ledger_watermark: int = 0
    """The watermark that was written to the ledger last."""
    ledger_watermark_at_ms: int = 0
    committed: int = -1
    """The last watermark that was sent to Kafka."""
    committed_ms: int = 0
    """When it was sent."""
    acknowledged: int = -1
    """The last watermark that Kafka acknowledged."""

    @property
    def may_admit(self) -> bool:
        """Whether it is known what is answered, and Kafka knows that we begin."""
        return self.view is not None and self.is_taken_over


@dataclass(slots=True, eq=False)
class Lead:
    """What only the dispatcher uses."""

    board: Board = field(default_factory=Board)
    floors: dict[str, ClassFloors] = field(default_factory=dict)
    lists: Lists = field(init=False)
    bells: Bells = field(default_factory=Bells)
    supply: Supply | None = None
    """What may run at once; None: it has to be worked out anew."""
    expected: dict[str, None] = field(default_factory=dict)
    """Keys that are on the board before the ledger has said that it has them."""
    asks: bool = False
    """A plan goes out, whatever is in it: its answer says which slots are parked."""
    synced_ms: int = -1
    """When the last snapshot was taken; -1: none since the lease was taken."""
    cursor: str = ""
    """Changes up to here are in the snapshot."""
    met_ms: int = 0
    """When the dispatcher lease was renewed last, at the latest."""

    def __post_init__(self) -> None:
        self.lists = Lists(self.floors)


@dataclass(slots=True)
class AgentCount:
    """The requests of one agent."""

    waiting: int = 0
    in_flight: int = 0


@dataclass(slots=True, eq=False)
class ReportCounts:
    """What reports need beside the index."""

    answered: int = 0
    """Offsets that were settled."""
    answered_rate: Rate = field(default_factory=Rate)
    call_rates: dict[str, Rate] = field(default_factory=dict)
    """By model; the dispatcher's."""
    agents: tuple[AgentLoad, ...] = ()
    """The largest, when they were looked for last."""


@dataclass(slots=True, eq=False)
class BridgeState:
    """The whole state of one bridge."""

    rules: Rules
    epoch: str
    beats: int = 0
    """The highest counter that was seen in this epoch."""
    last_change: str = ""
    """Where the last change of this epoch stood that came in here."""
    doubt_until_ms: int = 0
    """From then on no reply of a lost epoch can get into Kafka."""
    epoch_began_ms: int = 0
    """On this bridge's clock; it may have begun before the process did."""
    hold_until_ms: int = 0
    """Nothing starts before: calls of a lost epoch may still run."""
    epoch_is_fresh: bool = False
    """The epoch began on an empty Redis."""
    commit_state_max_characters: int = MAX_CHARACTERS
    alarms: Counter[tuple[Alarm, Partition]] = field(default_factory=Counter)
    """What should not have happened, and how often: see `Alarm`."""
    now_ms: int = 0
    ledger_ahead_ms: int = 0
    """The ledger's clock less ours: deadlines run on the ledger's."""
    partitions: dict[str, PartitionIndex] = field(default_factory=dict)
    """By source."""
    dropped: deque[dict[int, Indexed]] = field(default_factory=deque)
    """What waited in partitions that are gone, and is not forgotten yet."""
    by_key: dict[str, Indexed] = field(default_factory=dict)
    """The first request of each key; `index.with_key` has all of them."""
    twins: dict[str, list[Indexed]] = field(default_factory=dict)
    """Keys that several records have: all of these."""
    deadlines: PlaceQueue[Indexed] = field(init=False)
    """All indexed requests, by when their deadline has to be looked at."""
    waiting: dict[Models, dict[str, PlaceQueue[Indexed]]] = field(default_factory=dict)
    """Indexed requests that wait, by group and class."""
    admitted: dict[Models, dict[str, Entries]] = field(default_factory=dict)
    """ADMITTING, READY, LEAVING and IN_FLIGHT, by group and class."""
    leaving: dict[Models, dict[str, Entries]] = field(default_factory=dict)
    """Of those admitted: LEAVING."""
    started: dict[Models, dict[str, Entries]] = field(default_factory=dict)
    """Of those admitted: IN_FLIGHT."""
    running: OrderedDict[Indexed, None] = field(default_factory=OrderedDict)
    """All that is IN_FLIGHT, what was looked at least recently first."""
    resting: OrderedDict[Indexed, None] = field(default_factory=OrderedDict)
    """READY and LEAVING, in that order, too."""
    doubted: dict[Models, dict[str, Entries]] = field(default_factory=dict)
    """DOUBTED, by group and class."""
    agents: dict[str, AgentCount] = field(default_factory=dict)
    """How many requests each agent has; who has none is not in here."""
    counts: ReportCounts = field(default_factory=ReportCounts)
    worst: dict[Models, dict[str, WorstQueue[Indexed]]] = field(default_factory=dict)
    """READY requests that may be withdrawn, by group and class."""
    groups: dict[Models, int] = field(default_factory=dict)
    """The groups that have something, with how much waits or is admitted."""
    held: int = 0
    """Requests in the ready set, or on the way in or out."""
    held_bytes: int = 0
    """Their payloads: what takes of the share in bytes."""
    leaving_bytes: int = 0
    """Of those, what is being withdrawn."""
    unsettled: dict[Models, None] = field(default_factory=dict)
    """Groups in which something moved: whether to admit or withdraw is open."""
    kept_out: dict[Models, None] = field(default_factory=dict)
    """Groups that something keeps from the ready set: the next tick asks again."""
    wants_room: dict[Models, None] = field(default_factory=dict)
    """Groups that have no room in bytes."""
    capacity: dict[str, int] = field(default_factory=dict)
    """Requests in flight by model."""
    weight: int = 0
    """Capacities of all groups together: each has a part of the share by its own."""
    shares_moved: bool = False
    """There are other groups than there were: the next tick looks at all of them."""
    controls: Controls | None = None
    """What operators ordered; None until it is known: nothing starts before."""
    revision: int = 0
    """Of limits and orders, as they were read last."""
    plans: int = 0
    """How many plans went out: the number of the last."""
    blocked: frozenset[str] = frozenset()
    """Agents whose requests are refused."""
    to_refuse: deque[Indexed] = field(default_factory=deque)
    """Requests of blocked agents that waited in Kafka when they came in here."""
    bridges: int = 1
    leading: bool = False
    live_slots: dict[str, int] = field(default_factory=dict)
    lead: Lead = field(default_factory=Lead)
    undelivered: list[PublishRefusal | SendRepeat | Cancel | RestoreDone] = field(
        default_factory=list
    )
    """What did not get done; it is tried again in a while."""
    ready_is_full: bool = False
    """The shared ready set had no room: the next tick asks again. Each answer would be
    followed by the question for the next batch else, and the round would not end."""
    draining: bool = False
    last_ms: dict[str, int] = field(default_factory=dict)
    """When each periodic duty was done last."""

    def __post_init__(self) -> None:
        self.deadlines = PlaceQueue(self.watched_at)
        self.adopt(self.rules)

    def adopt(self, rules: Rules) -> None:
        """Use another revision of the configuration."""
        self.rules = rules
        self.capacity = {each.name: each.capacity for each in rules.settings.models}
        self.weight = sum(map(self.weight_of, self.groups))

    def weight_of(self, models: Models) -> int:
        """Return how much a group counts when the share of the ready set is split."""
        return sum(self.capacity.get(model, 0) for model in models)

    def waiting_at(self, place: Place) -> Indexed | None:
        """Return the request that has this very place: another one after it has waited."""
        partition = self.partitions.get(place[4])
        entry = partition.entries.get(place[2]) if partition else None
        return entry if entry is not None and entry.place is place else None

    def withdrawable_at(self, place: Place) -> Indexed | None:
        """Return the request with this very place, if it may be withdrawn."""
        entry = self.waiting_at(place)
        return entry if entry is not None and entry.may_leave else None

    def watched_at(self, place: Place) -> Indexed | None:
        """Return the request whose deadline is watched with this very place."""
        partition = self.partitions.get(place[4])
        entry = partition.entries.get(place[2]) if partition else None
        return entry if entry is not None and entry.watched is place else None

    @property
    def pulse(self) -> EpochCounter:
        """The highest pulse that was seen."""
        return EpochCounter(self.epoch, self.beats)

    @property
    def ledger_now_ms(self) -> int:
        """The time by the ledger's clock."""
        return self.now_ms + self.ledger_ahead_ms

    @property
    def in_flight(self) -> int:
        """Requests of this bridge that are RUNNING or later and not answered."""
        return sum(
            len(entries)
            for classes in self.started.values()
            for entries in classes.values()
        )

    def all_admitted(self) -> Iterator[Indexed]:
        """Yield every request that is admitted, of all groups and classes."""
        return (
            entry
            for classes in self.admitted.values()
            for entries in classes.values()
            for entry in entries
        )


def due(state: BridgeState, duty: str, every_ms: int) -> bool:
    """Return whether a periodic duty is due, and mark it as done now."""
    if state.now_ms - state.last_ms.get(duty, -every_ms) < every_ms:
        return False
    state.last_ms[duty] = state.now_ms
    return True
