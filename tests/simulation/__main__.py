"""Runs one seed, or a part of it, and prints its history."""

import argparse
import hashlib
import sys
from collections.abc import Iterator

from tests.simulation.mutations import MUTATIONS, NONE
from tests.simulation.plan import Plan, draw
from tests.simulation.system import Run, run
from tests.simulation.world import START_MS

COLOURS = {"VIOLATION": "31;1", "TROUBLE": "33", "sent": "36", "reply": "32"}


def main() -> int:
    options = _options()
    mutation = MUTATIONS.get(options.mutation, NONE)
    plan = draw(options.seed, mutation.kinds)
    plan = plan.only(
        _numbers(options.requests, len(plan.submissions)),
        _numbers(options.faults, len(plan.faults)),
    )
    result = run(plan, mutation.parts)
    lines = list(_history(result, colours=sys.stdout.isatty()))
    if options.digest:
        lines = [hashlib.sha256("\n".join(lines).encode()).hexdigest()]
    else:
        lines = [*_head(plan), *lines, *_end(result)]
    sys.stdout.write("\n".join([*lines, ""]))
    return bool(result.violations)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__
    )
    parser.add_argument("seed", type=int)
    parser.add_argument(
        "--requests", metavar="N,N,...", help="only these records of the plan"
    )
    parser.add_argument(
        "--faults", metavar="N,N,...", help="only these faults; or none"
    )
    parser.add_argument("--mutation", choices=MUTATIONS, help="run with a known bug")
    parser.add_argument(
        "--digest", action="store_true", help="print only a hash of the history"
    )
    return parser.parse_args()


def _numbers(text: str | None, count: int) -> list[int]:
    if text is None:
        return list(range(count))
    return [] if text == "none" else [int(number) for number in text.split(",")]


def _head(plan: Plan) -> Iterator[str]:
    yield f"seed {plan.seed}: {plan.shape}"
    yield "faults:"
    yield from (f"  {number:2d} {fault}" for number, fault in enumerate(plan.faults))


def _history(result: Run, *, colours: bool) -> Iterator[str]:
    for at_ms, who, what, details in result.history:
        text = " ".join(map(str, details))
        line = f"{(at_ms - START_MS) / 1000:9.3f}  {who:12s} {what:12s} {text}"
        colour = COLOURS.get(what) if colours else None
        yield f"\033[{colour}m{line}\033[0m" if colour else line


def _end(result: Run) -> Iterator[str]:
    yield ", ".join(f"{count} {what}" for what, count in result.facts.items())
    yield from (f"VIOLATION {one}" for one in result.violations)
    if not result.violations:
        yield "every promise was kept"


if __name__ == "__main__":
    sys.exit(main())
