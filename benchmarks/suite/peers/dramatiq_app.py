"""dramatiq on Redis. As a module: the app of its workers; as a program: its feeder.

Its documentation has priorities as a property of actors: three of them, on one queue.
A worker that is silent for 20 s loses its messages (default: 60 s).
"""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.suite.peers import wire
from benchmarks.suite.peers.feeder import feed
from benchmarks.suite.peers.model_client import ask_blocking
from benchmarks.suite.peers.replies import publish

broker = RedisBroker(url=wire.REDIS_URL, heartbeat_timeout=20_000)
dramatiq.set_broker(broker)


def answer(request: dict) -> None:
    publish(request, ask_blocking(request))


actors = {
    (model, cls): dramatiq.actor(
        answer,
        actor_name=f"{model}-{cls}",
        queue_name=model,
        priority=10 * urgency,
    )
    for model in wire.SLOTS
    for urgency, cls in enumerate(wire.CLASSES)
}

if __name__ == "__main__":
    feed(lambda cls, request: actors[request["model_id"], cls].send(request))
