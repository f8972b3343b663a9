"""What a system holds: file descriptors, threads and memory of processes, keys of Redis.

It measures and compares numbers; what a run does meanwhile is not its business.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import redis

FDS, THREADS = 8, 6
"""So many more than at the beginning are no leak: a connection to each Kafka node and
its coordinator, of each client, may or may not be open (librdkafka has a thread for
each), and a worker starts the threads of its slots (4 here) and the one for revokes when
they are first needed."""
RSS_MIB = 48.0
"""Interpreter and librdkafka keep what a backlog once needed."""
SLOPE_MIB_A_MINUTE = 0.5
"""Of the second half, for runs of `SLOPE_MINUTES` and longer: noise is larger before."""
SLOPE_MINUTES = 15.0
REDIS_MIB = 4.0
"""Without the change log, whose length is bounded (100,000 entries)."""
KEPT = {
    r"{ns}:{epoch}:changes": "the change log of the present epoch",
    r"{ns}:done:.+:\d+": "bitmap of a partition's done offsets",
    r"{ns}:done:.+:blocks": "which blocks of bitmap there are",
    r"{ns}:watermarks": "committed offset of each partition",
    r"{ns}:{epoch}:totals:.+": "counters of a model since the epoch began",
    r"{ns}:{epoch}:places": "numbers of partitions, in tombstones",
}
"""Keys that a fresh system has not and a used one keeps: one a partition or a model."""
REPORT = re.compile(r"^{ns}:report:.+")
"""One a bridge; who is started again has another name."""
MIB = 1024 * 1024


@dataclass(frozen=True)
class Held:
    """What one process holds."""

    pid: int
    fds: int
    threads: int
    rss_mib: float


@dataclass(frozen=True)
class Keys:
    """What Redis holds.

    Attributes:
        names: with the epoch as `{epoch}` and the namespace as `{ns}`.
        used_mib: memory of the server, without the change log.
        changes_mib: of the change log.
    """

    names: Counter[str] = field(default_factory=Counter)
    used_mib: float = 0.0
    changes_mib: float = 0.0


@dataclass(frozen=True)
class Sample:
    """All processes at one moment, by name."""

    at_s: float
    held: Mapping[str, Held]


def held_by(pid: int) -> Held | None:
    """Measure a process; None: it has ended."""
    process = Path(f"/proc/{pid}")
    try:
        status = (process / "status").read_text()
        fds = len(list((process / "fd").iterdir()))
    except OSError:
        return None
    lines = dict(re.findall(r"^(Threads|VmRSS):\s+(\d+)", status, re.MULTILINE))
    if "VmRSS" not in lines:
        return None  # a zombie
    return Held(pid, fds, int(lines["Threads"]), int(lines["VmRSS"]) / 1024)


def keys_of(client: redis.Redis, namespace: str) -> Keys:
    """Read the names of all keys; an old epoch keeps its number, the present one not."""
    epoch = (client.hget(f"{namespace}:epoch", "id") or b"").decode()
    log = f"{namespace}:{epoch}:changes"
    changes = client.memory_usage(log, samples=0) or 0
    used = client.info("memory")["used_memory"]
    names = Counter(
        _plain(key.decode(), namespace, epoch) for key in client.scan_iter(count=1000)
    )
    return Keys(names, (used - changes) / MIB, changes / MIB)


def _plain(name: str, namespace: str, epoch: str) -> str:
    if epoch:
        name = name.replace(f"{namespace}:{epoch}:", "{ns}:{epoch}:")
    return REPORT.sub("{ns}:report:{bridge}", name.replace(f"{namespace}:", "{ns}:"))


def unexplained(fresh: Keys, now: Keys) -> list[str]:
    """Return the keys that a fresh system has not, and nothing explains."""
    more = (now.names - fresh.names).keys()
    known = [pattern.replace("{", r"\{").replace("}", r"\}") for pattern in KEPT]
    return sorted(
        name for name in more if not any(re.fullmatch(one, name) for one in known)
    )


def leaks_of_redis(fresh: Keys, end: Keys) -> list[str]:
    """Compare Redis with what it was before the first request."""
    broken = [f"soak: key {name} is left in Redis" for name in unexplained(fresh, end)]
    if end.used_mib > fresh.used_mib + REDIS_MIB:
        broken.append(
            f"soak: Redis uses {end.used_mib:.1f} MiB, {fresh.used_mib:.1f} when fresh"
        )
    return broken


def survivors(samples: Sequence[Sample]) -> set[str]:
    """Return the names of the processes that were the same from first to last."""
    first, last = samples[0].held, samples[-1].held
    return {n for n in first.keys() & last.keys() if first[n].pid == last[n].pid}


def role_of(name: str) -> str:
    """`worker-alpha-1` and `worker-alpha-0` have one role."""
    return name.rstrip("0123456789-")


def leaks_of_processes(samples: Sequence[Sample]) -> list[str]:
    """Compare the last sample with the first; those started anew with their role's."""
    first, last = samples[0].held, samples[-1].held
    broken = []
    for name, now in sorted(last.items()):
        then = first.get(name) or _of_role(first, role_of(name))
        if then is None:
            broken.append(f"soak: {name} runs, and nobody knows it")
            continue
        for what, value, most in (
            ("file descriptors", now.fds, then.fds + FDS),
            ("threads", now.threads, then.threads + THREADS),
            ("MiB resident", now.rss_mib, then.rss_mib + RSS_MIB),
        ):
            if value > most:
                broken.append(
                    f"soak: {name} has {value:.0f} {what}, {most:.0f} at most"
                )
    return broken + _slopes(samples)


def _of_role(held: Mapping[str, Held], role: str) -> Held | None:
    same = [one for name, one in held.items() if role_of(name) == role]
    return max(same, key=lambda one: one.rss_mib, default=None)


def _slopes(samples: Sequence[Sample]) -> list[str]:
    minutes = (samples[-1].at_s - samples[0].at_s) / 60
    if minutes < SLOPE_MINUTES:
        return []
    return [
        f"soak: {name} grows by {slope:.2f} MiB a minute"
        for name in sorted(survivors(samples))
        if (slope := slope_mib_a_minute(name, samples)) > SLOPE_MIB_A_MINUTE
    ]


def slope_mib_a_minute(name: str, samples: Sequence[Sample]) -> float:
    """Growth in the second half: the median of the slopes between pairs (Theil-Sen)."""
    points = [(s.at_s / 60, s.held[name].rss_mib) for s in samples if name in s.held]
    points = points[len(points) // 2 :]
    slopes = [
        (b[1] - a[1]) / (b[0] - a[0])
        for at, a in enumerate(points)
        for b in points[at + 1 :]
        if b[0] > a[0]
    ]
    return median(slopes) if slopes else 0.0


def figures_of(
    samples: Sequence[Sample], fresh: Keys, end: Keys
) -> dict[str, float | str]:
    """Return what the table at the end shows."""
    figures: dict[str, float | str] = {
        "keys fresh -> end": f"{fresh.names.total()} -> {end.names.total()}",
        "of them explained": end.names.total() - len(unexplained(fresh, end)),
        "Redis MiB": f"{fresh.used_mib:.1f} -> {end.used_mib:.1f}"
        f" (change log {end.changes_mib:.1f})",
    }
    lived = survivors(samples)
    for name in _names(samples[:1] + samples[-1:]):
        then, now = samples[0].held.get(name), samples[-1].held.get(name)
        slope = slope_mib_a_minute(name, samples)
        more = f", {slope:+.2f} MiB/min" if name in lived else ", started anew"
        figures[f"{name} fds"] = _pair(then, now, "fds")
        figures[f"{name} threads"] = _pair(then, now, "threads")
        figures[f"{name} RSS MiB"] = _pair(then, now, "rss_mib") + more
    return figures


def _names(samples: Iterable[Sample]) -> list[str]:
    return sorted({name for sample in samples for name in sample.held})


def _pair(then: Held | None, now: Held | None, what: str) -> str:
    each = ["-" if one is None else f"{getattr(one, what):.0f}" for one in (then, now)]
    return " -> ".join(each)
