"""A program that uses a published class, forks, and uses it in the child.

Run as `python -m tests.support.forked CLASS BOOTSTRAP PREFIX`; exit code 0: all was as it
should be, and the name of each case was printed before it ran. The children end as any
program does, with what `atexit` has.
"""

import asyncio
import concurrent.futures
import gc
import multiprocessing
import os
import socket
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from agentsched.client import AgentClient, ClientClosed
from agentsched.errors import DeliveryFailed
from agentsched.kafka.consumer import Consumer
from agentsched.kafka.errors import ConsumerClosed
from agentsched.kafka.producer import Producer
from agentsched.load_balancing.scheduler import Scheduler, SchedulerConfig
from agentsched.types import Reply
from agentsched.wire.records import OutboundRecord
from tests.support.waiting import eventually

BOOTSTRAP, PREFIX = sys.argv[2:4] if __name__ == "__main__" else ("", "")
INPUTS = [f"{PREFIX}{cls}_priority" for cls in ("high", "medium", "low")]
REPLIES = f"{PREFIX}results"
SOON_S = 20.0


def fork(in_child: Callable[[], object]) -> None:
    """Run it in a child, to the orderly end of Python there."""
    pid = os.fork()
    if pid == 0:
        in_child()
        sys.exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child ended with status {status}"


def made(kind: type) -> object:
    """An instance that the program never lets go: it ends with Python."""
    if kind is AgentClient:
        one = AgentClient(
            BOOTSTRAP, input_topics=INPUTS, reply_topic=REPLIES, fetch_wait_ms=10
        )
    elif kind is Consumer:
        one = Consumer(BOOTSTRAP, f"{PREFIX}group", "earliest")
    else:
        one = kind(BOOTSTRAP)
    KEPT.append(one)
    return one


KEPT: list[object] = []


def delivered(producer: Producer) -> None:
    producer.produce({"id": "x"}, REPLIES).result(SOON_S)


def answered(client: AgentClient) -> None:
    assert client.request("hello", timeout_s=SOON_S).content == "hello"


def producer() -> None:
    one = made(Producer)
    delivered(one)
    fork(lambda: delivered(one))
    delivered(one)
    fork(lambda: fork(lambda: delivered(one)))
    delivered(one)


def producer_that_is_only_inherited() -> None:
    one = made(Producer)
    delivered(one)
    fork(lambda: None)
    fork(one.close)
    fork(lambda: one.__exit__(None, None, None))

    def let_go() -> None:
        KEPT.clear()
        gc.collect()

    fork(let_go)
    delivered(one)


def producer_with_locks_held() -> None:
    one = made(Producer)
    delivered(one)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with one._changed:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    fork(lambda: delivered(one))
    done.set()
    holder.join()
    delivered(one)


def producer_with_records_under_way() -> None:
    with socket.socket() as nowhere:
        nowhere.bind(("127.0.0.1", 0))  # bound and not listening
        address = f"127.0.0.1:{nowhere.getsockname()[1]}"
        one = Producer(address, properties={"log_level": 0})
        called: list[int] = []
        future = one.send(OutboundRecord("t", b"{}"))
        future.add_done_callback(lambda _: called.append(os.getpid()))

        def child() -> None:
            concurrent.futures.wait([future], SOON_S)
            assert isinstance(future.exception(0), DeliveryFailed)
            assert "parent" in str(future.exception(0))
            assert not called

        fork(child)
        assert not future.done()
        assert one.close(timeout_s=0) == 1
        assert called == [os.getpid()]


def producer_under_multiprocessing() -> None:
    one = made(Producer)
    delivered(one)
    process = multiprocessing.get_context("fork").Process(
        # Neither flushed nor closed: an orderly end sends it.
        target=lambda: one.produce({"id": "of the child"}, REPLIES)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    reader = Consumer(BOOTSTRAP, f"{PREFIX}readers", "earliest")
    reader.subscribe(REPLIES)
    seen = set()

    def is_there() -> bool:
        if message := reader.consume(0.5):
            seen.add(message.id)
        return "of the child" in seen

    eventually(is_there, timeout_s=SOON_S)
    reader.close()


def client() -> None:
    one = made(AgentClient)
    answered(one)
    fork(lambda: answered(one))
    answered(one)


def client_of_coroutines() -> None:
    one = made(AgentClient)

    async def ask() -> None:
        reply = await one.ask("hello", timeout_s=SOON_S)
        assert reply.content == "hello"

    async def ask_and_close() -> None:
        async with one:
            await ask()

    asyncio.run(ask())
    fork(lambda: asyncio.run(ask_and_close()))
    asyncio.run(ask())


def client_with_requests_outstanding() -> None:
    one = made(AgentClient)
    answered(one)
    called: list[int] = []
    future = one.submit("wait", correlation_id="outstanding", timeout_s=SOON_S)
    future.add_done_callback(lambda _: called.append(os.getpid()))

    def child() -> None:
        assert isinstance(future.exception(SOON_S), ClientClosed)
        assert "parent" in str(future.exception(0))
        assert not future.cancel()
        assert not called
        answered(one)
        with one:
            pass

    fork(child)
    assert one.outstanding == 1
    one.submit("go on", correlation_id="go-on", timeout_s=SOON_S).result(SOON_S)
    assert future.result(SOON_S).content == "wait"
    assert called == [os.getpid()]


def client_that_is_only_inherited() -> None:
    one = made(AgentClient)
    answered(one)
    fork(lambda: None)
    fork(one.close)
    fork(lambda: one.__exit__(None, None, None))
    fork(lambda: asyncio.run(one.__aexit__(None, None, None)))

    def let_go() -> None:
        KEPT.clear()
        gc.collect()

    fork(let_go)
    answered(one)


def client_that_is_closed() -> None:
    one = made(AgentClient)
    answered(one)
    one.close()

    def child() -> None:
        try:
            one.request("hello", timeout_s=SOON_S)
        except ClientClosed:
            return
        raise AssertionError("a closed client was opened again")

    fork(child)


def consumer() -> None:
    one, writer = made(Consumer), made(Producer)
    one.subscribe([REPLIES])

    def reads() -> bool:
        reply = Reply(correlation_id=uuid.uuid4().hex, status="completed")
        writer.produce(reply, REPLIES).result(SOON_S)
        return one.consume(0.5) is not None

    def child() -> None:
        # A member beside the parent's: each has one of the two partitions.
        eventually(reads, timeout_s=SOON_S)
        one.close()

    eventually(reads, timeout_s=SOON_S)
    done = threading.Event()

    def read_on() -> None:
        while not done.is_set():
            one.consume(0.1)

    reader = threading.Thread(target=read_on)
    reader.start()
    fork(child)
    fork(lambda: None)
    done.set()
    reader.join()
    eventually(reads, timeout_s=SOON_S)
    one.close()

    def child_of_closed() -> None:
        try:
            one.consume(0.1)
        except ConsumerClosed:
            return
        raise AssertionError("a closed consumer was opened again")

    fork(child_of_closed)


def scheduler() -> None:
    config = SchedulerConfig(
        bootstrap_servers=BOOTSTRAP, input_topics=INPUTS, output_topic=REPLIES
    )
    one = Scheduler(config)
    one.add_llm_model("m", 1, ["text_generation"], "http://127.0.0.1:9/v1", "EMPTY")
    running = threading.Thread(target=one.run)
    running.start()
    eventually(lambda: one._running, timeout_s=60)
    root = Path(one._config_path)

    def child() -> None:
        assert one.get_model_stats()["m"].current_load == 0
        one.add_llm_model("n", 1, ["text_generation"], "http://127.0.0.1:9/v1")
        one.close()
        one.run()  # closed: it returns at once

    fork(child)
    assert root.exists()
    assert running.is_alive()
    assert one._running.services.failure() is None
    assert list(one.get_model_stats()) == ["m"]
    one.close()
    running.join(SOON_S)
    assert not root.exists()


def scheduler_with_locks_held() -> None:
    one = Scheduler(SchedulerConfig(bootstrap_servers=BOOTSTRAP))
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with one._lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    fork(one.close)
    done.set()
    holder.join()


CASES = {
    "producer": (
        producer,
        producer_that_is_only_inherited,
        producer_with_locks_held,
        producer_with_records_under_way,
        producer_under_multiprocessing,
    ),
    "client": (
        client,
        client_of_coroutines,
        client_with_requests_outstanding,
        client_that_is_only_inherited,
        client_that_is_closed,
    ),
    "consumer": (consumer,),
    "scheduler": (scheduler, scheduler_with_locks_held),
}

if __name__ == "__main__":
    for case in CASES[sys.argv[1]]:
        print(case.__name__, flush=True)  # noqa: T201  (what stands still, if one does)
        case()
