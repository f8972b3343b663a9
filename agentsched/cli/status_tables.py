"""Owns how the status looks on a terminal, from 80 columns on; it computes nothing."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agentsched.errors import LedgerUnavailable
from agentsched.operations.durations import span
from agentsched.operations.status.status import BridgeStatus, ModelStatus, Status
from agentsched.types import Priority

NOTICES_SHOWN = 12
ROWS_SHOWN = 12


def page(status: Status) -> RenderableType:
    """The whole status."""
    parts: list[RenderableType] = [_headline(status)]
    if lines := [*_problems(status), *_notices(status)]:
        parts += ["", *lines]
    parts += ["", _models(status.models)]
    side_by_side = [
        Padding(table, (0, 0, 1, 0))
        for table, shown in (
            (_waiting(status), status.flows),
            (_agents(status), status.agents),
            (_bridges(status.bridges), status.bridges),
        )
        if shown
    ]
    if side_by_side:
        # As many beside each other as the terminal is wide for.
        parts += ["", Columns(side_by_side, padding=(0, 4))]
    return Group(*parts)


def away(error: LedgerUnavailable) -> RenderableType:
    """What there is to say without Redis."""
    return Text(f"Redis is away: {error}", style="bold red")


def _headline(status: Status) -> RenderableType:
    now = datetime.fromtimestamp(status.at_ms / 1000, UTC).astimezone()
    counts = Text.assemble(
        ("AgentSched", "bold"),
        f"  {now:%H:%M:%S}   ",
        (f"{sum(status.waiting.values()):,}", "bold"),
        f" wait{_unread(status)}, ",
        (f"{status.in_flight:,}", "bold"),
        " in flight, ",
        (f"{status.answered_per_s:,.1f}", "bold"),
        " answered a second",
    )
    if (oldest := status.oldest) is None:
        return counts
    line = Text(
        f"The oldest waits for {span(status.oldest_age_ms)}: {oldest.correlation_id} of"
        f" {oldest.agent_id} ({oldest.cls})",
        overflow="ellipsis",
        no_wrap=True,
    )
    return Group(counts, line)


def _unread(status: Status) -> str:
    unread = sum(topic.unread for topic in status.topics or ())
    return f" and {unread:,} are not read yet" if unread else ""


def _problems(status: Status) -> Iterable[Text]:
    return (Text(f"! {problem}", style="red") for problem in status.problems)


def _notices(status: Status) -> Iterable[Text]:
    shown = status.notices[:NOTICES_SHOWN]
    yield from (Text(f"* {notice}", style="yellow") for notice in shown)
    if more := len(status.notices) - len(shown):
        yield Text(f"* and {more} more: agentsched status --json", style="yellow")


def _models(models: Iterable[ModelStatus]) -> Table:
    table = _table("Models", "model", "queue")
    for title in ("workers", "slots", "in flight", "wait", "calls/s", "mean"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in models:
        style = "red" if not one.slots else "yellow" if one.paused else ""
        table.add_row(
            escape(one.model),
            one.queue or "?",
            str(one.workers),
            str(one.slots),
            f"{one.in_flight}/{one.capacity}",
            f"{one.waiting:,}",
            f"{one.calls_per_s:,.1f}",
            "-" if one.mean_s is None else f"{one.mean_s:.2f} s",
            style=style,
        )
        if len(one.endpoints) > 1:
            for endpoint in one.endpoints:
                used = f"{endpoint.in_flight}/{endpoint.capacity}"
                cells = (f"  {escape(endpoint.endpoint)}", "", "", "", used)
                table.add_row(*cells, style="dim")
    return table


def _waiting(status: Status) -> Table:
    table = _table("Waits for", "model")
    for cls in Priority:
        table.add_column(cls.value, justify="right", no_wrap=True)
    for flow in status.flows[:ROWS_SHOWN]:
        counts = (f"{flow.waiting.get(cls.value, 0):,}" for cls in Priority)
        table.add_row(escape(" or ".join(flow.models)) or "(refused)", *counts)
    return table


def _agents(status: Status) -> Table:
    table = _table("Agents", "agent")
    for title in ("wait", "in flight"):
        table.add_column(title, justify="right", no_wrap=True)
    for agent in status.agents[:ROWS_SHOWN]:
        table.add_row(
            escape(agent.agent_id), f"{agent.waiting:,}", f"{agent.in_flight:,}"
        )
    beyond = status.other_agents_waiting
    beyond += sum(agent.waiting for agent in status.agents[ROWS_SHOWN:])
    if beyond:
        table.add_row("(others)", f"{beyond:,}", "")
    return table


def _bridges(bridges: Iterable[BridgeStatus]) -> Table:
    table = _table("Bridges", "bridge")
    for title in ("unanswered", "answers/s"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in bridges:
        host, _, rest = one.bridge_id.partition("/")
        marks = [
            *(["dispatcher"] if one.leading else []),
            *(["stopping"] if one.stopping else []),
            *(["silent"] if not one.reports else []),
        ]
        name = f"{host}/{rest.split('/', maxsplit=1)[0]}"
        numbers = (f"{one.unanswered:,}", f"{one.answered_per_s:,.1f}")
        table.add_row(escape(name), *numbers, ", ".join(marks))
    return table


def _table(title: str, *names: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for name in names:
        # Where it is narrow, names are cut before any number is.
        table.add_column(name, overflow="ellipsis")
    return table
