"""What this bridge says of itself each second, for `agentsched status`.

Every number is kept up to date as requests move; nothing here looks at each request.
"""

import heapq
from itertools import islice

from agentsched import __version__
from agentsched.ledger.bridge_reports import (
    AgentLoad,
    BridgeReport,
    FlowLoad,
    OldestRequest,
    PartitionReport,
)
from agentsched.scheduling.order import CLASSES
from bridge.core.commands import Command, CountCalls, Report
from bridge.core.events import CallsCounted
from bridge.core.rate import Rate
from bridge.core.state import (
    WAITS,
    BridgeState,
    Indexed,
    Models,
    PartitionIndex,
    due,
)

EVERY_MS = 1_000
AGENTS_LISTED = 20
FLOWS_LISTED = 50
PARTITIONS_LISTED = 100
AGENTS_PER_MS = 10
"""The largest agents are looked for again after a ms for so many: less than 1 % of the
time goes into it, also with a million agents."""
MAX_LOOKED_AT = 10_000
"""Requests in flight that may stand before the oldest that waits in a partition."""


def duties(state: BridgeState) -> list[Command]:
    """Report each second; the dispatcher counts calls for that, too."""
    if not due(state, "report", EVERY_MS):
        return []
    state.counts.answered_rate.add(state.counts.answered, state.now_ms)
    _find_largest_agents(state)
    counting: list[Command] = [CountCalls()] if state.leading else []
    return [*counting, Report(report(state))]


def on_calls(state: BridgeState, event: CallsCounted) -> list[Command]:
    """Note how many calls of each model have ended until now."""
    rates = state.counts.call_rates
    for model in rates.keys() - event.calls.keys():
        del rates[model]
    for model, calls in event.calls.items():
        rates.setdefault(model, Rate()).add(calls, event.now_ms)
    return []


def report(state: BridgeState) -> BridgeReport:
    """Put together what this bridge knows."""
    counts, flows = state.counts, _flows(state)
    waiting = {cls: sum(flow.waiting[cls] for flow in flows) for cls in CLASSES}
    listed = sum(one.waiting for one in counts.agents)
    partitions = sorted(state.partitions.values(), key=lambda one: one.partition)
    return BridgeReport(
        software=__version__,
        leading=state.leading,
        stopping=state.draining,
        draining=state.controls is not None and state.controls.drain is not None,
        waiting=waiting,
        in_flight=state.in_flight,
        unanswered=sum(len(one.tracker) for one in partitions),
        flows=tuple(flows[:FLOWS_LISTED]),
        agents=counts.agents,
        other_agents=max(0, len(state.agents) - len(counts.agents)),
        other_agents_waiting=max(0, sum(waiting.values()) - listed),
        oldest=_oldest(state),
        answered_per_s=counts.answered_rate.per_s,
        calls_per_s={m: rate.per_s for m, rate in counts.call_rates.items()}
        if state.leading
        else {},
        partitions=tuple(map(_partition, partitions[:PARTITIONS_LISTED])),
        other_partitions=len(partitions[PARTITIONS_LISTED:]),
    )


def waiting_of(state: BridgeState, models: Models, cls: str) -> int:
    """Return how many requests of a flow have not started."""
    queue = state.waiting.get(models, {}).get(cls)
    admitted = state.admitted.get(models, {}).get(cls, ())
    started = state.started.get(models, {}).get(cls, ())
    doubted = state.doubted.get(models, {}).get(cls, ())
    waiting = (len(queue) if queue else 0) + len(doubted)
    return waiting + len(admitted) - len(started)


def _flows(state: BridgeState) -> list[FlowLoad]:
    flows = []
    for models in dict.fromkeys([*state.waiting, *state.admitted, *state.doubted]):
        waiting = {cls: waiting_of(state, models, cls) for cls in CLASSES}
        in_flight = sum(map(len, state.started.get(models, {}).values()))
        if in_flight or any(waiting.values()):
            flows.append(FlowLoad(models=models, waiting=waiting, in_flight=in_flight))
    return sorted(flows, key=lambda flow: -sum(flow.waiting.values()))


def _find_largest_agents(state: BridgeState) -> None:
    pace_ms = max(EVERY_MS, len(state.agents) // AGENTS_PER_MS)
    if not due(state, "agents", pace_ms):
        return
    largest = heapq.nlargest(
        AGENTS_LISTED,
        state.agents.items(),
        key=lambda item: (item[1].waiting + item[1].in_flight, item[0]),
    )
    state.counts.agents = tuple(
        AgentLoad(agent_id=agent_id, waiting=load.waiting, in_flight=load.in_flight)
        for agent_id, load in largest
    )


def _oldest(state: BridgeState) -> OldestRequest | None:
    heads = [
        head
        for partition in state.partitions.values()
        if (head := first_waiting(partition)) is not None
    ]
    if not heads:
        return None
    facts = min(heads, key=lambda head: head.place[1]).facts
    return OldestRequest(
        correlation_id=facts.correlation_id,
        agent_id=facts.agent_id,
        cls=facts.cls,
        arrival_ms=facts.arrival_ms,
    )


def first_waiting(partition: PartitionIndex) -> Indexed | None:
    """Return the request of a partition that waits for longest; None: none is found."""
    # Offsets were indexed in their order, and so in the order of arrival.
    entries = islice(partition.entries.values(), MAX_LOOKED_AT)
    return next((entry for entry in entries if entry.stage in WAITS), None)


def _partition(partition: PartitionIndex) -> PartitionReport:
    return PartitionReport(
        topic=partition.partition.topic,
        partition=partition.partition.partition,
        watermark=partition.tracker.watermark,
        next_offset=partition.tracker.next_offset,
        unanswered=len(partition.tracker),
        paused=_why_paused(partition),
    )


def _why_paused(partition: PartitionIndex) -> str:
    if partition.view is None:
        return "it is not known yet what was answered: Redis has not said"
    if partition.paused:
        megabytes = partition.size_bytes / 1_000_000
        return (
            "its share of the index is full:"
            f" {len(partition.entries):,} records, {megabytes:,.0f} MB"
        )
    return ""
