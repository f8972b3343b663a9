"""What the index takes in memory is what its limit says, whatever is read."""

import gc
import json
import tracemalloc

import pytest

from agentsched.wire.records import Headers
from bridge.core import commands as do
from bridge.core import events as ev
from bridge.core.index_memory import of_request
from tests.support.requests import record
from tests.unit.bridge.driver import PARTITION, SOURCE, Driver

BOUND_BYTES = 1_048_576
LEAST_BYTES = 100
"""No record takes less: a fill that is not paused ends."""
READ = 2


def request(offset, agents=10, content_bytes=40, **headers):
    """A record whose texts are its own, as from Kafka's client."""
    ids = {"agent_id": f"agent-{offset % agents}", "correlation_id": f"id-{offset:020}"}
    body = ids | {"model_id": "m", "content": "x" * content_bytes}
    key = ids["correlation_id"].encode()
    sent = Headers(
        [("".join(list(name)), text) for name, text in (ids | headers).items()]
    )
    return record(offset, body, headers=sent, key=key, written_after_ms=offset)


def no_request(offset):
    return record(
        offset, b"no JSON " * 10, headers=Headers([("traceparent", "t" * 55)])
    )


KINDS = {
    "tiny requests": request,
    "large requests": lambda offset: request(offset, content_bytes=100_000),
    "each of another agent": lambda offset: request(offset, agents=1_000_000),
    "with many headers": lambda offset: request(
        offset, **{f"header-{n}": f"{n}" * 50 for n in range(10)}
    ),
    "none is a request": no_request,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_index_takes_what_its_limit_says(kind):
    fill(KINDS[kind])  # what is made once for all
    gc.collect()
    tracemalloc.start()
    try:
        driver = fill(KINDS[kind])
        gc.collect()
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert driver.state.partitions[SOURCE].paused
    assert 0.8 * BOUND_BYTES < taken_bytes < 1.1 * BOUND_BYTES


def fill(make):
    """Read until the partition is paused."""
    driver = Driver(limits={"index_max_bytes": BOUND_BYTES})
    # The ledger does not answer: dead letters are held, and nothing is admitted.
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    for at in range(0, BOUND_BYTES // LEAST_BYTES, READ):
        driver.feed(ev.Read(tuple(map(make, range(at, at + READ))), driver.now_ms))
        if driver.of(do.Pause):
            break
    driver.tick(1_000)
    return driver


def test_the_default_limit_holds_a_million_small_requests():
    driver = Driver()
    driver.own()
    sent = request(0, content_bytes=110)
    driver.feed(ev.Read((sent,), driver.now_ms))
    (entry,) = driver.state.partitions[SOURCE].entries.values()
    limits = driver.state.rules.settings.limits
    assert len(sent.value) >= 200
    assert of_request(entry) * 1_000_000 <= limits.index_max_bytes
    assert limits.index_max_records == 1_000_000


def test_what_is_settled_takes_nothing():
    driver = Driver()
    driver.own()
    empty = driver.state.partitions[SOURCE].size_bytes
    driver.feed(ev.Read((request(0), no_request(1), request(2)), driver.now_ms))
    for offset in range(3):
        driver.feed(ev.OffsetSettled(SOURCE, offset))
    assert driver.state.partitions[SOURCE].size_bytes == empty == 0
    assert driver.state.partitions[SOURCE].traits == {}


def test_what_an_earlier_owner_answered_takes_nothing():
    driver = Driver()
    driver.feed(ev.Assigned(PARTITION, SOURCE, 0, 0))
    driver.feed(ev.Read((request(0), no_request(1)), driver.now_ms))
    driver.load(done=(0, 1))
    assert driver.state.partitions[SOURCE].size_bytes == 0


def test_the_traits_of_an_agent_are_kept_once():
    driver = Driver()
    driver.own()
    driver.feed(ev.Read(tuple(map(request, range(100))), driver.now_ms))
    assert len(driver.state.partitions[SOURCE].traits) == 10


def test_a_request_is_admitted_as_it_was_read():
    driver = Driver()
    driver.own()
    sent = request(5, tokens="7")
    driver.feed(ev.Read((sent,), driver.now_ms))
    (entry,) = driver.state.partitions[SOURCE].entries.values()
    (admitted,) = driver.admitted()
    assert admitted.payload == sent.value
    assert admitted.facts.correlation_id == json.loads(sent.value)["correlation_id"]
    assert (entry.record, entry.record.headers.pairs) == (sent, sent.headers.pairs)
