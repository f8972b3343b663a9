"""Python compiles what it imports once, not once for each process that a test starts.

Importing Celery takes 1.2 s of one core with that, and 3 s without (measured). Where the
environment forbids it (PYTHONDONTWRITEBYTECODE), the results are kept below `.venv/`
instead of beside the sources.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv" / "bytecode"


def keep() -> None:
    """Here, and in every process that is started from here."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(FOLDER)
        sys.pycache_prefix = str(FOLDER)
        sys.dont_write_bytecode = False
