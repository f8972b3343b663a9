"""No slot of a worker stays idle while doorbells wait: at any size, whatever happened."""

import threading
from pathlib import Path

import pytest
import redis

from agentsched.embedded.valkey import EmbeddedValkey
from tests.integration.worker_rig import WorkerRig
from tests.support.model_server import Hold
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

LOOP_WAIT_S = 1.0
"""How long Celery's loop waits at most when nothing wakes it."""


def test_one_slot_takes_its_next_doorbell_without_a_wait_of_celerys_loop(
    redis_url: str, tmp_path: Path
) -> None:
    requests = 20
    with WorkerRig(tmp_path, redis_url, {"gpt-4": 1}) as rig:
        rig.ready_worker("-Q", "gpt4")
        keys = [rig.admitted() for _ in range(requests)]

        rig.ring(*keys)

        rig.wait_for_calls(1)
        # Calls take no time: far from so many waits, on any machine.
        eventually(
            lambda: len(rig.server.calls) == requests,
            timeout_s=requests * LOOP_WAIT_S / 2,
            message=f"{requests} calls, one after another",
        )
        assert rig.server.peak_in_flight() == 1


def test_many_slots_share_a_few_connections_to_redis(
    redis_url: str, tmp_path: Path
) -> None:
    slots, seen = 100, threading.Event()
    with WorkerRig(tmp_path, redis_url, {"gpt-4": slots}) as rig:
        before = {one["addr"] for one in rig.ledger._client.client_list()}
        rig.ready_worker("-Q", "gpt4")
        rig.server.then("gpt-4", *[Hold(seen.is_set)] * slots)
        keys = [rig.admitted() for _ in range(slots)]
        try:
            rig.ring(keys[0])
            eventually(lambda: rig.server.in_flight() == slots, timeout_s=30)
            used = [
                one
                for one in rig.ledger._client.client_list()
                if one["addr"] not in before
            ]
            # Ledger, keeper, voided leases; queues, control, gossip and events of Celery.
            assert len(used) <= 20
        finally:
            seen.set()
        for key in keys:
            assert rig.reply_to(key, timeout_s=60)["status"] == "completed"


def test_all_slots_are_used_after_the_broker_was_away(tmp_path: Path) -> None:
    slots, first, second = 3, threading.Event(), threading.Event()
    broker = EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log")
    try:
        with WorkerRig(tmp_path, broker.url, {"gpt-4": slots}) as rig:
            rig.ready_worker("-Q", "gpt4")
            rig.server.then("gpt-4", *[Hold(first.is_set)] * slots)
            rig.server.then("gpt-4", *[Hold(second.is_set)] * slots)
            rig.ring(*[rig.admitted() for _ in range(slots)])
            eventually(lambda: rig.server.in_flight() == slots)

            broker.stop()
            broker = EmbeddedValkey(
                tmp_path / "valkey", tmp_path / "valkey.log", broker.port
            )
            wait_for_a_consumer(broker.url)
            rig.doorbells.close()
            rig.ring(*[rig.admitted() for _ in range(slots)])
            first.set()

            # Those of the second kind end when all of them run, and not before.
            eventually(
                lambda: (
                    len(rig.server.calls) == 2 * slots
                    and rig.server.in_flight() == slots
                ),
                message=f"{slots} calls at once, and no more than before",
            )
            second.set()
    finally:
        first.set()
        second.set()
        broker.stop()


def wait_for_a_consumer(url: str) -> None:
    """Wait until a worker asks this broker for doorbells."""

    def asked() -> bool:
        try:
            with redis.Redis.from_url(url) as client:
                return any(one["cmd"] == "brpop" for one in client.client_list())
        except redis.RedisError:
            return False

    eventually(asked, timeout_s=30, message="a worker asks for doorbells")
