"""FastStream over Kafka: one subscriber of all topics, with as many workers as slots.

Several workers on a partition mean, as its documentation says, that a record is
acknowledged before it is worked on.
"""

import orjson
import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from benchmarks.suite.peers import wire
from benchmarks.suite.peers.model_client import ask, async_session

broker = KafkaBroker(wire.BOOTSTRAP, acks="all", logger=None)
app = FastStream(broker, logger=None)
sessions = []


@app.on_startup
async def opened() -> None:
    sessions.append(async_session())


@app.on_shutdown
async def closed() -> None:
    await sessions[0].close()


@broker.subscriber(
    *wire.TOPICS,
    group_id=wire.GROUP,
    auto_offset_reset="earliest",
    max_workers=sum(wire.SLOTS.values()),
    fetch_max_wait_ms=10,
)
async def answer(message: KafkaMessage) -> None:
    request = orjson.loads(message.body)
    value = await ask(sessions[0], request)
    await broker.publish(
        value,
        wire.OUTPUT,
        key=request["correlation_id"].encode(),
        headers={"correlation_id": request["correlation_id"]},
    )


if __name__ == "__main__":
    uvloop.run(app.run())
