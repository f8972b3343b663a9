"""Sends the requests of `agentsched bench`, and notes when each has ended.

It sums nothing up; the texts of requests and replies go nowhere else.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from agentsched.cli.bench_figures import Outcome
from agentsched.client import AgentClient, RequestError, RequestFailed

if TYPE_CHECKING:
    from concurrent.futures import Future

    from agentsched.types import Reply

FILLER = "lorem "
MIN_PROMPT_CHARACTERS = 64
"""Room for the number and the question."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is sent."""

    count: int
    rate_per_s: float
    """0: all at once."""
    prompt_characters: int
    options: dict[str, Any]
    """Of `AgentClient.submit`, the same for all."""


def measure(
    client: AgentClient, traffic: Traffic, ended: Callable[[int], None]
) -> list[Outcome]:
    """Send all, and wait for their ends; blocks.

    One more goes before them and is not counted: it opens the connections, on which the
    first ones would wait else. If it fails, no more are sent.

    Args:
        client: has room for all of them (`max_outstanding`).
        traffic: what is sent.
        ended: is told how many have ended, in the calling thread.

    Raises:
        RequestError: the one before all others was not answered.
        KeyboardInterrupt: as it came; what has not ended is cancelled before.
    """
    client.request(_prompt(0, traffic), **traffic.options)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    futures: list[Future[Reply]] = []
    try:
        for number, due_s in due_times(traffic):
            try:
                future = client.submit(_prompt(number, traffic), **traffic.options)
            except RequestError as error:
                outcomes.put(_failed(error, due_s, time.monotonic()))
                continue
            futures.append(future)
            future.add_done_callback(partial(_note, outcomes, due_s))
            ended(outcomes.qsize())
        return _collect(outcomes, traffic.count, ended)
    except KeyboardInterrupt:
        for future in futures:
            future.cancel()
        raise


def due_times(traffic: Traffic) -> Iterator[tuple[int, float]]:
    """Yield each number when it is due, and that time; sleeps until then.

    It is by the clock: neither replies nor a slow sender move it.
    """
    begun_s = time.monotonic()
    for number in range(1, traffic.count + 1):
        if not traffic.rate_per_s:
            yield number, time.monotonic()
            continue
        due_s = begun_s + (number - 1) / traffic.rate_per_s
        if (left_s := due_s - time.monotonic()) > 0:
            time.sleep(left_s)
        yield number, due_s


def _prompt(number: int, traffic: Traffic) -> str:
    asked = f"Request {number} of a benchmark: answer with one word. "
    missing = traffic.prompt_characters - len(asked)
    return asked + (FILLER * (missing // len(FILLER) + 1))[: max(0, missing)]


def _note(outcomes: SimpleQueue[Outcome], due_s: float, done: "Future[Reply]") -> None:
    """In the client's thread."""
    ended_s = time.monotonic()
    if done.cancelled():
        return
    if (error := done.exception()) is not None:
        outcomes.put(_failed(error, due_s, ended_s))
        return
    timing = done.result().timing
    outcomes.put(
        Outcome(
            due_s,
            ended_s,
            queued_s=timing.queued_s if timing else None,
            model_s=timing.model_s if timing else None,
        )
    )


def _failed(error: BaseException, due_s: float, ended_s: float) -> Outcome:
    code = error.code if isinstance(error, RequestFailed) else type(error).__name__
    return Outcome(due_s, ended_s, code=code)


def _collect(
    outcomes: SimpleQueue[Outcome], count: int, ended: Callable[[int], None]
) -> list[Outcome]:
    found: list[Outcome] = []
    while len(found) < count:
        found.append(outcomes.get())
        ended(len(found))
    return found
