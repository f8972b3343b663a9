"""Which processes write below a folder: how tests see what a local stack left behind."""

import contextlib
import os
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie that waits for init."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def writers(folder: Path) -> dict[int, str]:
    """Process id -> command line of who has a file below `folder` open."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _has_open(process, str(folder)):
            with contextlib.suppress(OSError):
                line = (process / "cmdline").read_bytes()
                found[int(process.name)] = line.replace(b"\0", b" ").decode()
    return found


def _has_open(process: Path, folder: str) -> bool:
    # Processes come and go meanwhile.
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(link).startswith(folder):  # noqa: PTH115  (not a path)
                    return True
    return False
