"""What processes use: CPU time and memory of a process and all below it, from /proc."""

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KB_PER_MB = 1000 / 1.024  # smaps counts in KiB


def trees(roots: Iterable[int]) -> dict[int, list[int]]:
    """Return for each root itself and all that descend from it, but not other roots."""
    children = defaultdict(list)
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            children[int(fields[1])].append(int(folder.name))
    found, others = {}, set(roots)
    for root in others:
        members = [root]
        for pid in members:  # it grows meanwhile
            members += [child for child in children[pid] if child not in others]
        found[root] = members
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds of processes, and of those that they waited for."""
    ticks = 0
    for pid in pids:
        if fields := _stat(pid):
            ticks += sum(int(each) for each in fields[11:15])
    return ticks / TICKS_PER_S


def pss_mb(pids: Iterable[int]) -> float:
    """Return the proportional memory of processes: what they share counts in parts."""
    kb = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
            kb += sum(int(x.split()[1]) for x in lines if x.startswith("Pss:"))
    return kb / KB_PER_MB


class Usage:
    """The CPU time of named processes since it was made.

    Args:
        pids: name -> process; those that it started count as its own.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = self._cpu_s()

    def used_s(self) -> dict[str, float]:
        """Return name -> CPU seconds since then."""
        now = self._cpu_s()
        return {name: now[name] - self._before[name] for name in self._pids}

    def memory_mb(self) -> dict[str, float]:
        """Return name -> memory now."""
        below = trees(self._pids.values())
        return {name: pss_mb(below[pid]) for name, pid in self._pids.items()}

    def _cpu_s(self) -> dict[str, float]:
        below = trees(self._pids.values())
        return {name: cpu_s(below[pid]) for name, pid in self._pids.items()}


def _stat(pid: int) -> list[str]:
    """The fields of its stat from the third on; empty when it is gone."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return text.rsplit(")", 1)[1].split()
    return []
