"""`python -m tests.chaos --seed 1 --minutes 5`: one run, with what happens as it happens."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import run
from tests.chaos.scene import ProxiedKafka
from tests.chaos.soak import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="default: a random one")
    parser.add_argument("--minutes", type=float, help="default: 5, or 30 of a soak")
    parser.add_argument(
        "--soak",
        action="store_true",
        help="one fault a minute; then keys, files, threads and memory are as before",
    )
    parser.add_argument("--lease-s", type=float, default=5.0)
    parser.add_argument("--pace-hz", type=float, default=15.0)
    parser.add_argument("--nodes", type=int, default=3, help="of Kafka")
    parser.add_argument("--only", help="numbers of faults, with commas: F1,F9")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    only = given.only.split(",") if given.only else None
    faults = [f for f in FAULTS if only is None or f.number in only]
    minutes = given.minutes or (30.0 if given.soak else 5.0)
    root = Path(tempfile.mkdtemp(prefix="agentsched-chaos-"))
    print(f"seed {seed}, {minutes:g} minutes, folder {root}", flush=True)
    with ProxiedKafka(given.nodes) as kafka:
        verdict = (soak if given.soak else run)(
            root,
            kafka,
            seed=seed,
            seconds=minutes * 60,
            lease_s=given.lease_s,
            pace_hz=given.pace_hz,
            faults=faults,
            say=lambda line: print(line, flush=True),
        )
    for name, value in verdict.figures.items():
        shown = value if isinstance(value, str) else f"{value:g}"
        print(f"{name:>28}: {shown}")
    for line in verdict.broken[:40]:
        print(f"BROKEN {line}")
    print(f"seed {seed}: {len(verdict.broken)} promises broken")
    return 1 if verdict.broken else 0


if __name__ == "__main__":
    sys.exit(main())
