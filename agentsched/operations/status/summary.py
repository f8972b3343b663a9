"""Puts the status together from what ledger, bridges and Kafka say; pure, asks nobody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentsched.config.settings import ModelSettings, Settings
from agentsched.ledger.bridge_reports import AgentLoad, BridgeReport, FlowLoad, Reported
from agentsched.ledger.operator_orders import Control, Controls
from agentsched.ledger.values import ModelTotals
from agentsched.ledger.views import LiveWorker, Pool
from agentsched.operations.explain.reasons import order_of
from agentsched.operations.status.status import (
    BridgeStatus,
    EndpointStatus,
    FlowStatus,
    ModelStatus,
    Order,
    Status,
    TopicStatus,
    WorkerStatus,
)
from agentsched.scheduling.unserved import unserved
from agentsched.types import Priority
from agentsched.wire.records import Depth, Partition

AGENTS_LISTED = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What ledger and bridges say at one moment."""

    now_ms: int
    controls: Controls = field(default_factory=Controls)
    pools: Sequence[Pool] = ()
    totals: Mapping[str, ModelTotals] = field(default_factory=dict)
    workers: Sequence[LiveWorker] = ()
    bridges: Sequence[Reported] = ()
    depths: Mapping[Partition, Depth] | None = None
    kafka_problem: str = ""
    """Why Kafka did not say how deep its topics are."""


def put_together(settings: Settings, seen: Seen) -> Status:
    """Make the status of what was seen.

    Args:
        settings: the configuration of who asks: names the queues.
        seen: see `Seen`.
    """
    reports = [one.report for one in seen.bridges if one.report is not None]
    flows = _flows(reports)
    agents, others = _agents(reports)
    models = _models(settings, seen, flows, reports)
    oldest = min(
        (report.oldest for report in reports if report.oldest),
        key=lambda oldest: oldest.arrival_ms,
        default=None,
    )
    return Status(
        at_ms=seen.now_ms,
        models=models,
        waiting=_by_class(reports),
        flows=flows,
        agents=agents,
        other_agents_waiting=others,
        oldest=oldest,
        oldest_age_ms=max(0, seen.now_ms - oldest.arrival_ms) if oldest else 0,
        topics=None if seen.depths is None else _topics(seen.depths, reports),
        in_flight=sum(pool.in_flight for pool in seen.pools),
        answered_per_s=round(sum(report.answered_per_s for report in reports), 3),
        workers=len(seen.workers),
        worker_processes=tuple(
            WorkerStatus(worker_id=one.worker_id, slots=dict(one.slots), http=one.http)
            for one in seen.workers
        ),
        bridges=tuple(map(_bridge, seen.bridges)),
        orders=tuple(map(_order, seen.controls)),
        notices=tuple(_notices(seen, reports, models)),
        problems=tuple(_problems(seen, reports, models)),
    )


def waiting_for_worker(
    reports: Sequence[BridgeReport],
    controls: Controls,
    live_slots: Mapping[str, int],
) -> dict[str, int]:
    """Return model -> requests that wait because no worker of it lives; see `unserved`.

    Args:
        reports: of all bridges.
        controls: what operators have ordered.
        live_slots: slots of the live workers, by model.
    """
    waiting = {one.models: sum(one.waiting.values()) for one in _flows(reports)}
    return unserved(waiting, live_slots, controls.starts)


def _topics(
    depths: Mapping[Partition, Depth], reports: Sequence[BridgeReport]
) -> tuple[TopicStatus, ...]:
    read = {
        Partition(one.topic, one.partition): one
        for report in reports
        for one in report.partitions
    }
    behind: dict[str, list[int]] = {}
    unread: dict[str, list[int]] = {}
    for partition, depth in depths.items():
        one = read.get(partition)
        watermark = one.watermark if one else depth.start
        next_offset = one.next_offset if one else depth.start
        behind.setdefault(partition.topic, []).append(max(0, depth.end - watermark))
        unread.setdefault(partition.topic, []).append(max(0, depth.end - next_offset))
    return tuple(
        TopicStatus(
            topic=topic,
            partitions=len(counts),
            behind=sum(counts),
            unread=sum(unread[topic]),
        )
        for topic, counts in behind.items()
    )


def _flows(reports: Sequence[BridgeReport]) -> tuple[FlowStatus, ...]:
    by_models: dict[tuple[str, ...], list[FlowLoad]] = {}
    for report in reports:
        for flow in report.flows:
            by_models.setdefault(flow.models, []).append(flow)
    return tuple(
        FlowStatus(
            models=models,
            waiting=_by_class(loads),
            in_flight=sum(load.in_flight for load in loads),
        )
        for models, loads in sorted(by_models.items())
    )


def _by_class(loads: Sequence[FlowLoad] | Sequence[BridgeReport]) -> dict[str, int]:
    return {
        cls.value: sum(load.waiting.get(cls.value, 0) for load in loads)
        for cls in Priority
    }


def _agents(reports: Sequence[BridgeReport]) -> tuple[tuple[AgentLoad, ...], int]:
    """Return the agents with most requests, and how many requests of others wait."""
    loads: dict[str, AgentLoad] = {}
    for load in (load for report in reports for load in report.agents):
        known = loads.get(load.agent_id, AgentLoad(agent_id=load.agent_id, waiting=0))
        loads[load.agent_id] = AgentLoad(
            agent_id=load.agent_id,
            waiting=known.waiting + load.waiting,
            in_flight=known.in_flight + load.in_flight,
        )
    largest = sorted(
        loads.values(), key=lambda load: (-load.waiting, -load.in_flight, load.agent_id)
    )
    beyond = sum(report.other_agents_waiting for report in reports)
    beyond += sum(load.waiting for load in largest[AGENTS_LISTED:])
    return tuple(largest[:AGENTS_LISTED]), beyond


def _models(
    settings: Settings,
    seen: Seen,
    flows: Sequence[FlowStatus],
    reports: Sequence[BridgeReport],
) -> tuple[ModelStatus, ...]:
    names = dict.fromkeys(
        [model.name for model in settings.models] + [pool.model for pool in seen.pools]
    )
    rates = next((one.calls_per_s for one in reports if one.leading), {})
    return tuple(
        _model(name, settings.model(name), seen, flows, rates.get(name, 0.0))
        for name in names
    )


def _model(
    name: str,
    configured: ModelSettings | None,
    seen: Seen,
    flows: Sequence[FlowStatus],
    calls_per_s: float,
) -> ModelStatus:
    pools = [pool for pool in seen.pools if pool.model == name]
    slots = [w.slots[name] for w in seen.workers if w.slots.get(name)]
    total = seen.totals.get(name, ModelTotals(0, 0, 0, 0))
    paused = seen.controls.paused.get(name)
    may_answer = [flow for flow in flows if name in flow.models]
    return ModelStatus(
        model=name,
        queue=configured.queue if configured else "",
        workers=len(slots),
        slots=sum(slots),
        in_flight=sum(pool.in_flight for pool in pools),
        capacity=sum(pool.capacity for pool in pools),
        endpoints=tuple(
            EndpointStatus(
                endpoint=pool.endpoint, in_flight=pool.in_flight, capacity=pool.capacity
            )
            for pool in pools
        ),
        waiting=sum(sum(flow.waiting.values()) for flow in may_answer),
        calls=total.calls,
        failed=total.failed,
        mean_s=round(total.model_ms / total.calls / 1000, 3) if total.calls else None,
        calls_per_s=calls_per_s,
        paused=_order(paused) if paused else None,
    )


def _bridge(one: Reported) -> BridgeStatus:
    report = one.report
    if report is None:
        return BridgeStatus(bridge_id=one.bridge_id, reports=False)
    return BridgeStatus(
        bridge_id=one.bridge_id,
        reports=True,
        software=report.software,
        http=report.http,
        leading=report.leading,
        stopping=report.stopping,
        unanswered=report.unanswered,
        answered_per_s=report.answered_per_s,
        partitions=report.partitions,
        other_partitions=report.other_partitions,
    )


def _order(control: Control) -> Order:
    return Order(
        kind=control.kind.value,
        name=control.name,
        by=control.by,
        reason=control.reason,
        at_ms=control.at_ms,
    )


def _notices(
    seen: Seen, reports: Sequence[BridgeReport], models: Sequence[ModelStatus]
) -> list[str]:
    controls, now_ms = seen.controls, seen.now_ms
    notices = [f"drained {order_of(stop, now_ms)}" for stop in controls.stopping_all()]
    notices += [
        f"{name} is paused {order_of(one, now_ms)}"
        for name, one in controls.paused.items()
    ]
    notices += [
        f"agent {name} is blocked {order_of(one, now_ms)}"
        for name, one in controls.blocked.items()
    ]
    notices += [
        f"{partition.topic} {partition.partition} is not read: {partition.paused}"
        for report in reports
        for partition in report.partitions
        if partition.paused
    ]
    unserved_models = _waiting_for_worker(seen, reports, models)
    return notices + [
        f"no live worker serves {one.model}, and nothing waits for one"
        for one in models
        if not one.slots
        and one.model not in unserved_models
        and controls.starts(one.model)
    ]


def _waiting_for_worker(
    seen: Seen, reports: Sequence[BridgeReport], models: Sequence[ModelStatus]
) -> dict[str, int]:
    slots = {one.model: one.slots for one in models}
    return waiting_for_worker(reports, seen.controls, slots)


def _problems(
    seen: Seen, reports: Sequence[BridgeReport], models: Sequence[ModelStatus]
) -> list[str]:
    problems = [seen.kafka_problem] if seen.kafka_problem else []
    if not seen.bridges:
        problems.append(
            "no bridge runs: nothing is read or started; start one: python -m bridge"
        )
    elif not any(report.leading for report in reports):
        problems.append("no bridge is the dispatcher now: nothing is started")
    problems += [
        f"bridge {one.bridge_id} has not reported for some seconds: see its log"
        for one in seen.bridges
        if one.report is None
    ]
    queues = {model.model: model.queue for model in models}
    return problems + [
        f"no live worker serves {model}: {count:,} wait for one"
        + (f"; celery -A agentsched worker -Q {queue}" if queue else "")
        for model, count in _waiting_for_worker(seen, reports, models).items()
        for queue in [queues.get(model, "")]
    ]
