"""What a good engineer writes without a scheduler: aiokafka, aiohttp, a semaphore.

Tuned: uvloop, orjson, short fetches (as it comes, aiokafka stands still for half a
second now and then, where topics are empty).
"""

import asyncio

import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.suite.peers import wire
from benchmarks.suite.peers.model_client import ask, async_session


async def main() -> None:
    slots = {model: asyncio.Semaphore(count) for model, count in wire.SLOTS.items()}
    producer = AIOKafkaProducer(bootstrap_servers=wire.BOOTSTRAP, acks="all")
    consumer = AIOKafkaConsumer(
        *wire.TOPICS,
        bootstrap_servers=wire.BOOTSTRAP,
        group_id=wire.GROUP,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=10,
    )
    running: set[asyncio.Task] = set()
    async with async_session() as session, producer, consumer:

        async def answer(request: dict) -> None:
            try:
                value = await ask(session, request)
            finally:
                slots[request["model_id"]].release()
            await producer.send_and_wait(
                wire.OUTPUT,
                value,
                key=request["correlation_id"].encode(),
                headers=wire.headers(request),
            )

        async for record in consumer:
            request = orjson.loads(record.value)
            await slots[request["model_id"]].acquire()
            task = asyncio.create_task(answer(request))
            running.add(task)
            task.add_done_callback(running.discard)


if __name__ == "__main__":
    uvloop.run(main())
