"""taskiq on Redis streams. As a module: a worker's broker; as a program: its feeder.

The stream broker is the one that its documentation recommends where nothing may get
lost. Messages of a dead worker come back after 20 s (default: ten minutes). One queue
for each model; a worker serves that which BENCH_QUEUE names.
"""

import asyncio
import os

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisStreamBroker

from benchmarks.suite.peers import wire
from benchmarks.suite.peers.model_client import ask, async_session

BATCH = 500


def stream(queue: str) -> RedisStreamBroker:
    """Return the broker of one queue; both sides know the task."""
    made = RedisStreamBroker(
        wire.REDIS_URL,
        queue_name=queue,
        consumer_id="0",
        idle_timeout=20_000,
        unacknowledged_lock_timeout=5.0,
    ).with_serializer(ORJSONSerializer())
    made.register_task(answer, task_name="answer")
    return made


async def answer(request: dict) -> None:
    value = await ask(broker.state.session, request)
    await broker.state.producer.send_and_wait(
        wire.OUTPUT,
        value,
        key=request["correlation_id"].encode(),
        headers=wire.headers(request),
    )


broker = stream(os.environ.get("BENCH_QUEUE", "m"))


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def opened(state: TaskiqState) -> None:
    state.session = async_session()
    state.producer = AIOKafkaProducer(bootstrap_servers=wire.BOOTSTRAP, acks="all")
    await state.producer.start()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def closed(state: TaskiqState) -> None:
    await state.producer.stop()
    await state.session.close()


async def main() -> None:
    brokers = {model: stream(model) for model in wire.SLOTS}
    for each in brokers.values():
        await each.startup()
    tasks = {model: made.find_task("answer") for model, made in brokers.items()}
    consumer = AIOKafkaConsumer(
        *wire.TOPICS,
        bootstrap_servers=wire.BOOTSTRAP,
        group_id=wire.GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=10,
    )
    await consumer.start()
    while True:
        batch = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
        if not batch:
            continue
        records = sorted(batch.items(), key=lambda x: wire.TOPICS.index(x[0].topic))
        requests = [orjson.loads(r.value) for _, some in records for r in some]
        await asyncio.gather(*(tasks[r["model_id"]].kiq(r) for r in requests))
        await consumer.commit()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
