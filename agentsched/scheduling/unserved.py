"""Which requests wait because no worker lives that could run them; pure.

A model without a worker is no fault by itself: its pool may be scaled to zero while there
is nothing to do, or it is paused. It is one when requests wait that nobody else can run.
"""

from collections import Counter
from collections.abc import Callable, Mapping


def unserved(
    waiting: Mapping[tuple[str, ...], int],
    live_slots: Mapping[str, int],
    starts: Callable[[str], bool],
) -> dict[str, int]:
    """Return model -> requests that wait for a worker of it.

    A request that several models may run waits for a worker only where none of them has
    one, and counts at each.

    Args:
        waiting: the models that may run a request -> how many such requests wait.
        live_slots: slots of the live workers, by model.
        starts: whether operators let requests of a model start.
    """
    counts: Counter[str] = Counter()
    for models, count in waiting.items():
        able = [model for model in models if starts(model)]
        if count and not any(live_slots.get(model) for model in able):
            counts.update(dict.fromkeys(able, count))
    return dict(counts)
