"""The index: which unanswered records there are, and what stage each is in.

Every change of a stage goes through `move`, so that queues and counts cannot
disagree.
"""

from collections.abc import Iterable

from agentsched.scheduling.order import RankedQueue, rank
from bridge.core.state import (
    WAITS,
    AgentCount,
    BridgeState,
    Entries,
    Indexed,
    Models,
    PartitionIndex,
    Stage,
)


def add(state: BridgeState, partition: PartitionIndex, entry: Indexed) -> None:
    """Index a request of a partition, waiting."""
    partition.entries[entry.record.offset] = entry
    partition.size_bytes += entry.size_bytes
    state.by_key.setdefault(entry.key, []).append(entry)
    watch_deadline(state, entry, entry.admission.facts.deadline_ms)
    _file(state, entry)


def find(state: BridgeState, source: str, offset: int) -> Indexed | None:
    """Return the request at these coordinates, if it is indexed here."""
    partition = state.partitions.get(source)
    return partition.entries.get(offset) if partition else None


def move(state: BridgeState, entry: Indexed, stage: Stage) -> None:
    """Bring a request into another stage."""
    entry.checked_ms = state.now_ms
    if entry.stage is stage:
        return
    _unfile(state, entry)
    entry.stage = stage
    entry.was_admitted |= stage in (Stage.ADMITTING, Stage.IN_FLIGHT)
    _file(state, entry)


def watch_deadline(state: BridgeState, entry: Indexed, at_ms: int) -> None:
    """Have the deadline of a request looked at, at a time of the ledger's clock."""
    facts = entry.admission.facts
    place = (0, at_ms, facts.arrival_ms, facts.offset, facts.key)
    state.deadlines.add(entry, place)


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
    for offset in [*partition.entries]:
        if not partition.tracker.is_open(offset):
            _drop(state, partition, offset)


def drop_partition(state: BridgeState, source: str) -> None:
    """Forget a partition that this bridge no longer owns."""
    partition = state.partitions.pop(source, None)
    if partition is None:
        return
    for entry in partition.entries.values():
        _forget(state, entry)


def _drop(state: BridgeState, partition: PartitionIndex, offset: int) -> None:
    entry = partition.entries.pop(offset, None)
    if entry is not None:
        partition.size_bytes -= entry.size_bytes
        _forget(state, entry)


def _forget(state: BridgeState, entry: Indexed) -> None:
    _unfile(state, entry)
    state.deadlines.discard(entry)
    same_key = state.by_key[entry.key]
    same_key.remove(entry)
    if not same_key:
        del state.by_key[entry.key]


def _file(state: BridgeState, entry: Indexed) -> None:
    facts = entry.admission.facts
    if entry.stage is Stage.WAITING:
        queues = state.waiting.setdefault(facts.models, {})
        queues.setdefault(facts.cls, RankedQueue()).add(entry, rank(facts))
        if facts.agent_id in state.blocked:
            state.to_refuse.append(entry)
    for filed in _sets(state, entry):
        filed.setdefault(facts.models, {}).setdefault(facts.cls, {})[entry] = None
        state.admitted_bytes += entry.size_bytes if filed is state.admitted else 0
    _count(state, entry, 1)


def _unfile(state: BridgeState, entry: Indexed) -> None:
    facts = entry.admission.facts
    if entry.stage is Stage.WAITING:
        state.waiting[facts.models][facts.cls].discard(entry)
    for filed in _sets(state, entry):
        filed[facts.models][facts.cls].pop(entry, None)
        state.admitted_bytes -= entry.size_bytes if filed is state.admitted else 0
    _count(state, entry, -1)


def _count(state: BridgeState, entry: Indexed, more: int) -> None:
    agent_id = entry.admission.facts.agent_id
    count = state.agents.setdefault(agent_id, AgentCount())
    if entry.stage is Stage.IN_FLIGHT:
        count.in_flight += more
    elif entry.stage in WAITS:
        count.waiting += more
    if not (count.waiting or count.in_flight):
        del state.agents[agent_id]


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
