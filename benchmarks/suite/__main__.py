"""The command of the suite: ``python -m benchmarks.suite --quick``; see --help."""

import sys
from pathlib import Path

import click
from rich.console import Console

from agentsched.cli.signals import orderly_end
from agentsched.errors import AgentSchedError
from benchmarks.suite import tables
from benchmarks.suite.plan import PLANS, QUICK, STANDARD, Plan
from benchmarks.suite.results import Results, machine, read
from benchmarks.suite.run import run_all
from benchmarks.suite.systems import ROOT, SYSTEMS

INTERRUPTED = 130
PLANS_HELP = "; ".join(f"{plan.name}: {plan.about}" for plan in PLANS.values())


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help=f"The same as --plan quick: {QUICK.about}.")
@click.option(
    "--plan",
    "plan_name",
    type=click.Choice(list(PLANS)),
    default=STANDARD.name,
    show_default=True,
    help=f"What is measured. {PLANS_HELP}.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Choice(list(SYSTEMS)),
    help="Only this one; may be repeated.",
)
@click.option(
    "--repetitions",
    type=click.IntRange(1, 100),
    help="How often everything is done.  [default: the plan's]",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=ROOT / ".bench",
    show_default=".bench",
    help="Folder for results.json and the plots.",
)
@click.option("--keep-logs", is_flag=True, help="Leave the processes' logs, say where.")
@click.option(
    "--show",
    "shown",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Measure nothing: print and plot a results.json.",
)
def main(  # noqa: PLR0913  (one for each option)
    *,
    quick: bool,
    plan_name: str,
    systems: tuple[str, ...],
    repetitions: int | None,
    output: Path,
    keep_logs: bool,
    shown: Path | None,
) -> None:
    """Measure AgentSched beside what people use without it, on this machine.

    Real Kafka, a Redis and a model server are started for it; nothing else should run.
    """
    console = Console()
    if shown:
        _show(read(shown), output, console)
        return
    plan: Plan = QUICK if quick else PLANS[plan_name]
    steps = list(plan.steps(systems, repetitions or 0))
    if not steps:
        raise click.UsageError(f"plan {plan.name} measures nothing of {systems}")
    results = Results(plan.name, machine=machine())
    console.print(f"{plan.name}: {plan.about}; {len(steps)} sessions", highlight=False)
    path = output / "results.json"
    try:
        run_all(steps, results, path, console, keep_logs=keep_logs)
    finally:
        if results.runs:
            results.write(path)
            console.print(f"\nresults: {path}")
            _show(results, output, console)


def _show(results: Results, folder: Path, console: Console) -> None:
    from benchmarks.suite import plots  # noqa: PLC0415  (matplotlib takes a second)

    tables.show(results, console)
    for path in plots.draw(results, folder):
        console.print(f"plot: {path}", highlight=False)


if __name__ == "__main__":
    with orderly_end():
        try:
            main(standalone_mode=False)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            sys.exit(INTERRUPTED)
        except AgentSchedError as error:  # no Java, say
            click.secho(f"Error: {error}", fg="red", err=True)
            sys.exit(1)
