"""The composition root of a worker process: makes its clients once, and closes them.

Importing it makes nothing; `open_runtime` is called when the pool is up, so that no
thread or connection is older than the process that uses it.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor

from agentsched.config.settings import Settings
from agentsched.kafka.librdkafka import Properties, producer_properties
from agentsched.kafka.producer import Producer
from agentsched.kafka.reply_sink import ReplySink
from agentsched.ledger.redis.ledger import RedisLedger
from agentsched.llm_backend.client import HttpCompleter
from agentsched.telemetry import events
from agentsched.telemetry.health import Indicator
from agentsched.telemetry.logs import say
from agentsched.telemetry.meters import MeteredSink, Meters
from agentsched.worker.abort_listener import AbortListener
from agentsched.worker.call_loop import Call, CallLoop
from agentsched.worker.celery_tasks import CeleryTasks
from agentsched.worker.health_page import WorkerPage
from agentsched.worker.heartbeat import Heartbeat
from agentsched.worker.leases import LeaseBook, Stop
from agentsched.worker.observer import WorkerObserver
from agentsched.worker.revoke import Revokes
from agentsched.worker.slots import Slots
from agentsched.worker.suspects import Suspects

logger = logging.getLogger(__name__)

CLOSE_S = 5.0
"""For each of the parts that are closed."""


class Runtime:
    """What one worker process works with."""

    def __init__(  # noqa: PLR0913  (its parts are what it is)
        self,
        settings: Settings,
        worker_id: str,
        slots: Callable[[], Mapping[str, int]],
        limit: Callable[[], int],
        tasks: CeleryTasks,
        give_up: Callable[[], None],
    ) -> None:
        """Makes all clients, and starts slots and keeper.

        Args:
            settings: the whole configuration.
            worker_id: names this process; unlike any other that runs or ran.
            slots: see `Heartbeat`.
            limit: how many slots there are over all models, now.
            tasks: what Celery is shown.
            give_up: ends this process, see `Heartbeat`.

        Raises:
            AgentSchedError: the port of `http` cannot be had.
        """
        self.tasks = tasks
        self._settings = settings
        self._worker_id = worker_id
        meters = Meters("worker")
        meters.initialize(models=list(slots()))
        meters.describe_process()
        self._ledger = RedisLedger.of(settings, meters.step_ended)
        self._producer = Producer(
            settings.kafka.bootstrap_servers, properties=_producer_keys(settings)
        )
        calls = Indicator("calls", settings.http.stuck_s, ok=True)
        self._calls = CallLoop(calls.report)
        self._completer = HttpCompleter(settings)
        self._leases = LeaseBook()
        observer = WorkerObserver(
            meters, settings.timing.heartbeat_ttl_s, settings.http.stuck_s
        )
        self._page = WorkerPage(settings, meters, observer, calls, self._producer)
        self._page.start()
        self._suspects = Suspects(self._leases.clock)
        self._steps = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self.slots = Slots(
            settings,
            self._ledger,
            ReplySink(
                MeteredSink(self._producer, meters),
                settings.kafka.output_topic,
                delivery_timeout_s=settings.timing.delivery_timeout_s,
            ),
            self._completer,
            self._leases,
            self._suspects,
            worker_id,
            list(slots()),
            limit,
            observer,
            self._steps,
            tasks,
            give_up,
        )
        self.revokes = Revokes(self._ledger, self._leases)
        self._keeper = Heartbeat(
            self._ledger,
            self._leases,
            settings.timing,
            worker_id,
            slots,
            self.slots,
            observer,
            self._page.address,
            give_up=give_up,
        )
        self._aborts = AbortListener(self._ledger.voided(), self._leases)
        # The keeper last: from the first heartbeat on there is work.
        self._aborts.start()
        self._served = self._calls.start(self.slots.run())
        self._keeper.start()
        say(events.WORKER_STARTED, worker_id=worker_id, slots=dict(slots()))

    def leave(self, *, at_once: bool) -> None:
        """Take no more work; safe in a signal handler.

        Args:
            at_once: put back what runs now, instead of after `timing.drain_s`.
        """
        self._keeper.leave(0.0 if at_once else self._settings.timing.drain_s)

    def wait(self) -> None:
        """Wait for the slots to end, after `leave`; what runs longer is put back."""
        timing = self._settings.timing
        await_end(self._served, self._leases, timing.drain_s + timing.lease_s)

    def close(self) -> None:
        """Close everything, after the slots have ended.

        Replies first: a reply that is still in the producer is what an agent waits for.
        """
        self._keeper.stop(CLOSE_S)
        self._aborts.stop(CLOSE_S)
        self.revokes.close()
        self._page.stop_poll()
        self._producer.close(CLOSE_S)
        self._steps.shutdown()
        self._suspects.close()
        with contextlib.suppress(TimeoutError):
            self._calls.start(self._completer.close()).result(CLOSE_S)
        self._calls.close(CLOSE_S)
        self._ledger.close()
        self._page.stop()
        say(events.WORKER_STOPPED, worker_id=self._worker_id)


def await_end(served: Call[None], leases: LeaseBook, timeout_s: float) -> None:
    """Wait for slots that leave; go on without them where they do not end.

    Args:
        served: the slots.
        leases: what they hold.
        timeout_s: how long that may take where all is well. Then what runs is stopped
            from here: the keeper, which should have done so, or the loop may be dead.
    """
    for time_s in (timeout_s, CLOSE_S):
        try:
            served.result(time_s)
        except TimeoutError:
            leases.stop_all(Stop.PUT_BACK)
        except (Exception, CancelledError) as error:  # noqa: BLE001  (it has been told)
            logger.warning("the slots ended by %s", type(error).__name__)
            return
        else:
            return
    logger.error(
        "the slots do not end; what they run comes again when its lease is over"
    )


def _producer_keys(settings: Settings) -> Properties:
    return producer_properties(
        settings.kafka,
        # A bridge sends again what was not acknowledged in this time.
        delivery_timeout_s=settings.timing.delivery_timeout_s,
        value_max_bytes=settings.limits.reply_max_bytes,
    )


_opened: Runtime | None = None


def open_runtime(  # noqa: PLR0913  (as `Runtime`)
    settings: Settings,
    worker_id: str,
    slots: Callable[[], Mapping[str, int]],
    limit: Callable[[], int],
    tasks: CeleryTasks,
    give_up: Callable[[], None],
) -> Runtime:
    """Make this process's runtime; there is one. See `Runtime`.

    Raises:
        RuntimeError: there is one already.
        AgentSchedError: see `Runtime`.
    """
    global _opened  # noqa: PLW0603  (Celery's hooks have no other way to it)
    if _opened is not None:
        raise RuntimeError("this process has a runtime already")
    _opened = Runtime(settings, worker_id, slots, limit, tasks, give_up)
    return _opened


def opened() -> Runtime | None:
    """Return this process's runtime, if it is open."""
    return _opened


def close_runtime() -> None:
    """Close this process's runtime; idempotent."""
    global _opened
    closing, _opened = _opened, None
    if closing is not None:
        closing.close()
