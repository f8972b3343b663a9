"""Puts a running Redis back to an earlier state, as a promoted replica would be."""

from collections.abc import Iterable

import redis

Saved = dict[bytes, tuple[bytes, int]]


def save(client: redis.Redis, names: Iterable[bytes]) -> Saved:
    """Keys as they are now, with their time to live."""
    names = list(names)
    with client.pipeline() as pipeline:
        for name in names:
            pipeline.dump(name)
            pipeline.pttl(name)
        answers = pipeline.execute()
    rows = zip(names, answers[::2], answers[1::2], strict=True)
    return {name: (dump, max(ttl_ms, 0)) for name, dump, ttl_ms in rows if dump}


def rollback(client: redis.Redis, names: Iterable[bytes], to: Saved) -> None:
    """Forget `names` and know what was saved again, in one step."""
    with client.pipeline() as pipeline:
        for name in names:
            pipeline.delete(name)
        for name, (dump, ttl_ms) in to.items():
            pipeline.restore(name, ttl_ms, dump)
        pipeline.execute()
