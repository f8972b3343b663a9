"""The index: which unanswered records there are, and what stage each is in.

Every change of a stage goes through `move`, so that queues and counts cannot
disagree.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from agentsched.ledger.values import Admission
from agentsched.wire.records import InboundRecord
from agentsched.wire.request_facts import RequestFacts
from bridge.core import index_memory
from bridge.core.envelope import pack
from bridge.core.places import PlaceQueue, WorstQueue
from bridge.core.state import (
    WAITS,
    AgentCount,
    BridgeState,
    Entries,
    Indexed,
    Models,
    PartitionIndex,
    Stage,
    Traits,
)

DROPPED_AT_ONCE = 2_000
"""Requests of a partition that is gone: some 20 ms, then the loop does something else."""
HELD = (Stage.ADMITTING, Stage.READY, Stage.LEAVING)
"""In the ready set, or on the way in or out, and not started."""


def add(
    state: BridgeState,
    partition: PartitionIndex,
    record: InboundRecord,
    admission: Admission,
) -> Indexed:
    """Index a request of a partition, waiting."""
    facts = admission.facts
    place = (
        facts.deadline_ms,
        facts.arrival_ms,
        facts.offset,
        facts.key,
        partition.source,
    )
    entry = Indexed(
        traits=_traits(partition, facts),
        place=place,
        correlation_id=facts.correlation_id,
        tokens=facts.tokens,
        payload=admission.payload,
        payload_hash=bytes.fromhex(admission.payload_hash),
        envelope=pack(record, facts.correlation_id),
        reply=admission.reply,
        traceparent=facts.traceparent,
        watched=place,
        checked_ms=state.now_ms,
    )
    partition.entries[facts.offset] = entry
    partition.size_bytes += index_memory.of_request(entry)
    _add_key(state, entry)
    state.deadlines.add(place)
    _file(state, entry)
    return entry


def add_refused(partition: PartitionIndex, record: InboundRecord) -> None:
    """Count a record that becomes a dead letter, until it is settled."""
    partition.refused[record.offset] = index_memory.of_refused(record)
    partition.size_bytes += partition.refused[record.offset]


def with_key(state: BridgeState, key: str) -> Sequence[Indexed]:
    """Return the requests that have a key, in the order in which they came."""
    if (twins := state.twins.get(key)) is not None:
        return tuple(entry for entry in twins if is_indexed(state, entry))
    entry = state.by_key.get(key)
    return (entry,) if entry is not None and is_indexed(state, entry) else ()


def is_indexed(state: BridgeState, entry: Indexed) -> bool:
    """Return whether a request is one of a partition that this bridge owns still."""
    partition = state.partitions.get(entry.source)
    return partition is not None and partition.entries.get(entry.offset) is entry


def find(state: BridgeState, source: str, offset: int) -> Indexed | None:
    """Return the request at these coordinates, if it is indexed here."""
    partition = state.partitions.get(source)
    return partition.entries.get(offset) if partition else None


def move(state: BridgeState, entry: Indexed, stage: Stage) -> None:
    """Bring a request into another stage."""
    if entry.stage is stage:
        looked_at(state, entry)
        return
    entry.checked_ms = state.now_ms
    _unfile(state, entry)
    entry.stage = stage
    entry.was_admitted |= stage in (Stage.ADMITTING, Stage.IN_FLIGHT)
    _file(state, entry)


def looked_at(state: BridgeState, entry: Indexed) -> None:
    """Note that the ledger's view of a request is fresh, or asked for."""
    entry.checked_ms = state.now_ms
    if (entries := _looked_at(state, entry)) is not None:
        entries.move_to_end(entry)


def watch_deadline(state: BridgeState, entry: Indexed, at_ms: int) -> None:
    """Have the deadline of a request looked at, at a time of the ledger's clock."""
    entry.watched = (at_ms, *entry.place[1:])
    state.deadlines.removed(entry.source)
    state.deadlines.add(entry.watched)


def settle(state: BridgeState, source: str, offset: int) -> bool:
    """Note an offset as answered and forget its request; False when it was not open."""
    partition = state.partitions.get(source)
    if partition is None or not partition.tracker.done(offset):
        return False
    _drop(state, partition, offset)
    return True


def answered(
    state: BridgeState, partition: PartitionIndex, runs: Iterable[range]
) -> None:
    """Note offsets as answered, read or not, and forget their requests."""
    partition.tracker.answered(runs)
    for offset in [*partition.entries, *partition.refused]:
        if not partition.tracker.is_open(offset):
            _drop(state, partition, offset)


def drop_partition(state: BridgeState, source: str) -> None:
    """Forget a partition that this bridge no longer owns.

    At once what is in the ready set or was started; what waits goes in pieces
    (`drop_more`), and is found by nobody any more.
    """
    partition = state.partitions.pop(source, None)
    if partition is None:
        return
    state.deadlines.drop(source)
    for classes in state.waiting.values():
        for queue in classes.values():
            queue.drop(source)
    waits = (Stage.WAITING, Stage.DOUBTED)
    admitted = [one for one in partition.entries.values() if one.stage not in waits]
    for entry in admitted:
        del partition.entries[entry.offset]
        _forget(state, entry, queued=False)
    if partition.entries:
        state.dropped.append(partition.entries)


def drop_more(state: BridgeState) -> None:
    """Forget some of what waited in partitions that are gone."""
    left = DROPPED_AT_ONCE
    while state.dropped and left:
        entries = state.dropped[0]
        for _ in range(min(left, len(entries))):
            _forget(state, entries.popitem()[1], queued=False)
            left -= 1
        if not entries:
            state.dropped.popleft()


def _drop(state: BridgeState, partition: PartitionIndex, offset: int) -> None:
    partition.size_bytes -= partition.refused.pop(offset, 0)
    entry = partition.entries.pop(offset, None)
    if entry is not None:
        partition.size_bytes -= index_memory.of_request(entry)
        _drop_traits(partition, entry.traits)
        _forget(state, entry)


def _forget(state: BridgeState, entry: Indexed, *, queued: bool = True) -> None:
    """Forget a request; `queued` is False where its queues have forgotten it before."""
    _unfile(state, entry, queued=queued)
    if queued:
        state.deadlines.removed(entry.source)
    twins = state.twins.get(entry.key)
    if twins is None:
        del state.by_key[entry.key]
        return
    twins.remove(entry)
    state.by_key[entry.key] = twins[0]
    if len(twins) == 1:
        del state.twins[entry.key]


def _add_key(state: BridgeState, entry: Indexed) -> None:
    first = state.by_key.setdefault(entry.key, entry)
    if first is not entry:
        state.twins.setdefault(entry.key, [first]).append(entry)


def _traits(partition: PartitionIndex, facts: RequestFacts) -> Traits:
    values = _values(facts)
    traits = partition.traits.get(values)
    if traits is None:
        place = (facts.topic, facts.partition, partition.source)
        traits = partition.traits[values] = Traits(*values, *place)
        partition.size_bytes += index_memory.of_traits(traits)
    traits.requests += 1
    return traits


def _drop_traits(partition: PartitionIndex, traits: Traits) -> None:
    traits.requests -= 1
    if not traits.requests:
        del partition.traits[_values(traits)]
        partition.size_bytes -= index_memory.of_traits(traits)


def _values(
    of: RequestFacts | Traits,
) -> tuple[str, str, str, Models, str, str]:
    return (
        of.agent_id,
        of.group,
        of.cls,
        of.models,
        of.task_type,
        of.reply_topic,
    )


def _file(state: BridgeState, entry: Indexed) -> None:
    traits = entry.traits
    if entry.stage is Stage.WAITING:
        queues = state.waiting.setdefault(traits.models, {})
        queue = queues.get(traits.cls)
        if queue is None:
            queue = queues[traits.cls] = PlaceQueue(state.waiting_at)
        queue.add(entry.place)
        if traits.agent_id in state.blocked:
            state.to_refuse.append(entry)
    for filed in _sets(state, entry):
        filed.setdefault(traits.models, {}).setdefault(traits.cls, {})[entry] = None
    if entry.may_leave:
        _may_be_withdrawn(state, entry)
    if (looked_at := _looked_at(state, entry)) is not None:
        looked_at[entry] = None
    _weigh(state, entry, 1)
    _count(state, entry, 1)


def _unfile(state: BridgeState, entry: Indexed, *, queued: bool = True) -> None:
    traits = entry.traits
    if entry.stage is Stage.WAITING:
        # Another tuple: what still stands in the queue is nobody's any more.
        entry.place = (entry.place[0], *entry.place[1:])
        if queued:
            state.waiting[traits.models][traits.cls].removed(entry.source)
    for filed in _sets(state, entry):
        filed[traits.models][traits.cls].pop(entry, None)
    if (looked_at := _looked_at(state, entry)) is not None:
        looked_at.pop(entry, None)
    _weigh(state, entry, -1)
    _count(state, entry, -1)


def _may_be_withdrawn(state: BridgeState, entry: Indexed) -> None:
    traits = entry.traits
    queues = state.worst.setdefault(traits.models, {})
    queue = queues.get(traits.cls)
    if queue is None:
        queue = queues[traits.cls] = WorstQueue(state.withdrawable_at)
    present = len(state.admitted[traits.models][traits.cls])
    queue.add(entry.place, present)


def _weigh(state: BridgeState, entry: Indexed, more: int) -> None:
    """Keep count of what takes of the share, and of the groups that have something."""
    stage, models = entry.stage, entry.traits.models
    if stage in (Stage.REPEATING, Stage.DOUBTED):
        return
    size = state.groups.get(models, 0) + more
    if not size or size == more:
        state.weight += more * state.weight_of(models)
        state.shares_moved = True
    if size:
        state.groups[models] = size
    else:
        del state.groups[models]
    state.unsettled[models] = None
    if stage in HELD:
        state.held += more
        state.held_bytes += more * entry.size_bytes
        if stage is Stage.LEAVING:
            state.leaving_bytes += more * entry.size_bytes
        if more < 0 and state.wants_room:
            state.unsettled |= state.wants_room
            state.wants_room = {}


def _count(state: BridgeState, entry: Indexed, more: int) -> None:
    agent_id = entry.traits.agent_id
    count = state.agents.get(agent_id)
    if count is None:
        count = state.agents[agent_id] = AgentCount()
    if entry.stage is Stage.IN_FLIGHT:
        count.in_flight += more
    elif entry.stage in WAITS:
        count.waiting += more
    if not (count.waiting or count.in_flight):
        del state.agents[agent_id]


def _looked_at(state: BridgeState, entry: Indexed) -> OrderedDict[Indexed, None] | None:
    """Return in which set the reconciler finds an entry of this stage."""
    if entry.stage is Stage.IN_FLIGHT:
        return state.running
    return state.resting if entry.stage in (Stage.READY, Stage.LEAVING) else None


def _sets(state: BridgeState, entry: Indexed) -> list[dict[Models, dict[str, Entries]]]:
    """Return the sets that an entry of this stage belongs to."""
    if entry.stage in (Stage.WAITING, Stage.REPEATING):
        return []
    if entry.stage is Stage.DOUBTED:
        return [state.doubted]
    if entry.stage is Stage.LEAVING:
        return [state.admitted, state.leaving]
    if entry.stage is Stage.IN_FLIGHT:
        return [state.admitted, state.started]
    return [state.admitted]
