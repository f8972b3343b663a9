"""Write the sample of the ledger's format that this version writes.

    .venv/bin/python -m tests.golden FORMAT

It refuses to change a sample that is there: another number is another format.
"""

import sys
import tempfile
from pathlib import Path

import redis

from agentsched import __version__
from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.ledger.redis.ledger import RedisLedger
from tests.golden.history import write
from tests.golden.snapshot import path_of, take

NAMESPACE = "golden"


def main(number: int) -> None:
    """Write it."""
    if path_of(number).exists():
        sys.exit(
            f"{path_of(number)} is there: raise LEDGER_FORMAT, or `git rm` it first"
        )
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        with EmbeddedValkey(at / "data", at / "log") as server:
            ledger = RedisLedger.from_url(server.url, NAMESPACE)
            written = write(ledger)
            with redis.Redis.from_url(server.url) as client:
                about = {"format": number, "written_by": __version__}
                at_epoch = (written.epoch, written.at_ms)
                take(client, NAMESPACE, *at_epoch, **about).save()
            ledger.close()


if __name__ == "__main__":
    main(int(sys.argv[1]))
