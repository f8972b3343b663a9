"""Owns `agentsched explain`: where a request is, since when, and why it waits."""

import sys
import time

import click
from rich.console import Console

from agentsched.cli.operator_orders import opened
from agentsched.operations.durations import span
from agentsched.operations.explain.search import find
from agentsched.operations.explain.whereabouts import Explanation, Place, Whereabouts

WHERE = {
    Place.KAFKA: "waits in Kafka, indexed by a bridge",
    Place.READY: "waits in the ready set",
    Place.RUNNING: "runs",
    Place.DONE: "its reply is stored and on its way to Kafka",
    Place.ANSWERED: "answered: the reply is in Kafka",
    Place.MOVING: "between two places at this moment: ask again",
}


@click.command("explain")
@click.argument("correlation_id", metavar="ID")
@click.option("--agent", "agent_id", help="Whose request it is. Default: anybody's.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON, for programs.")
def command(correlation_id: str, agent_id: str | None, *, as_json: bool) -> None:
    """Show where a request is, since when, and why it waits.

    ID is its correlation_id (its `id`, where it has none). It asks the ledger and every
    bridge; no content of a request is shown. Several agents may use the same ID: name
    one with --agent. Exit code 1: nobody knows it.
    """
    with opened() as (settings, ledger):
        answer = find(settings, ledger, correlation_id, agent_id, time.sleep)
    if as_json:
        click.echo(answer.to_json())
    else:
        _show(Console(highlight=False, soft_wrap=True), answer, agent_id)
    sys.exit(0 if answer.found else 1)


def _show(console: Console, answer: Explanation, agent_id: str | None) -> None:
    for one in answer.found:
        console.print(
            f"{one.correlation_id} of {one.agent_id}", style="bold", markup=False
        )
        for line in _lines(one):
            console.print(f"  {line}", markup=False)
    if not answer.found:
        console.print(
            f"nobody knows {answer.correlation_id}", style="bold", markup=False
        )
        console.print("That can mean:")
        for line in _unknown(answer, agent_id):
            console.print(f"  - {line}", markup=False)
    if answer.silent_bridges:
        silent = ", ".join(answer.silent_bridges)
        console.print(f"These bridges did not answer in time: {silent}", markup=False)
    if answer.found and not answer.complete:
        console.print("There may be more: name the agent with --agent.")


def _lines(one: Whereabouts) -> list[str]:
    lines = [f"{WHERE[one.place]}, for {span(one.since_ms)}", *_run(one)]
    if one.reply_at:
        at = one.reply_at
        lines.append(f"reply: {at.topic}, partition {at.partition}, offset {at.offset}")
    if one.models:
        lines.append(f"class {one.cls}, for {' or '.join(one.models)}")
    if one.topic:
        place = f"{one.topic}, partition {one.partition}, offset {one.offset}"
        lines.append(f"request: {place}")
    if one.deadline_left_ms is not None:
        lines.append(_deadline(one.deadline_left_ms))
    if one.before is not None:
        lines.append(f"{one.before:,} requests of the same models come before it")
    if one.reasons:
        lines.append("why it waits:")
        lines += [f"  - {text}" for _, text in one.reasons]
    return lines


def _run(one: Whereabouts) -> list[str]:
    lines = []
    if one.model:
        lines.append(f"model {one.model} at {one.endpoint}")
    if one.attempts > 1 or one.crashes:
        lines.append(f"started {one.attempts} times, {one.crashes} ended in a crash")
    if one.lease_left_ms is not None:
        lines.append(_lease(one.lease_left_ms))
    if one.ending and one.place not in (Place.DONE, Place.ANSWERED):
        lines.append(f"{one.ending}: it is answered {one.ending.upper()} in a moment")
    return lines


def _lease(left_ms: int) -> str:
    if left_ms > 0:
        return f"the worker's lease ends in {span(left_ms)}, unless it is renewed"
    return f"the worker's lease ended {span(-left_ms)} ago: it runs again in a moment"


def _deadline(left_ms: int) -> str:
    if left_ms > 0:
        return f"its time to live ends in {span(left_ms)}"
    return f"its time to live ended {span(-left_ms)} ago"


def _unknown(answer: Explanation, agent_id: str | None) -> list[str]:
    lines = []
    if not answer.bridges:
        lines.append("no bridge runs: what is in Kafka only is not known to anybody")
    if agent_id is None:
        tried = ", ".join(answer.agents_tried[:5])
        lines.append(
            f"it is of an agent whose name was not tried ({tried} ... were):"
            " name it with --agent"
        )
    else:
        lines.append(f"it is not of agent {agent_id}: try without --agent")
    return [
        *lines,
        "it was answered longer ago than `limits.horizon_s`: look into the reply topic",
        "it is no valid request: look into the topics *.dead_letter for the reason",
        "it was not read yet: `agentsched status` says which partitions are not read",
        "Kafka has not got it: was the send acknowledged, and is the ID spelt so?",
    ]
