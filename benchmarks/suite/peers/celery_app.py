"""Plain Celery on Redis. As a module: the app of its workers; as a program: its feeder.

What is set is what Celery's documentation recommends for long idempotent tasks and for
priorities on Redis: acks_late, prefetch 1, priority steps. Unacknowledged tasks come
back after 20 s (default: an hour), else no kill could be watched.
"""

from celery import Celery

from benchmarks.suite.peers import wire
from benchmarks.suite.peers.feeder import feed
from benchmarks.suite.peers.model_client import ask_blocking
from benchmarks.suite.peers.replies import publish

PRIORITIES = {"high": 0, "medium": 3, "low": 6}

app = Celery("bench", broker=wire.REDIS_URL)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,  # Flower wants them, of AgentSched too
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "priority_steps": list(PRIORITIES.values()),
        "queue_order_strategy": "priority",
        "visibility_timeout": 20,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
    },
)


@app.task(name="answer")
def answer(request: dict) -> None:
    publish(request, ask_blocking(request))


def main() -> None:
    with app.producer_pool.acquire() as producer:
        feed(
            lambda cls, request: answer.apply_async(
                (request,),
                queue=request["model_id"],
                priority=PRIORITIES[cls],
                producer=producer,
                retry=False,
            )
        )


if __name__ == "__main__":
    main()
