"""What a worker shows of itself: a log event and the metrics of every turn, its health.

It decides nothing: slots and keeper work the same without it.
"""

from collections.abc import Callable, Mapping
from math import inf

from agentsched.errors import DeliveryFailed
from agentsched.telemetry import events, metrics
from agentsched.telemetry.health import Check, Indicator, RedisIndicator
from agentsched.telemetry.logs import request_fields, say
from agentsched.telemetry.meters import Meters
from agentsched.worker.call_result import CallResult, Job


class WorkerObserver:
    """Is told at every turn; safe to use from every thread.

    Args:
        meters: what is counted into; by default nobody sees the numbers.
        beat_ttl_s: how long a heartbeat counts.
        stuck_s: a loop that is silent for longer is stuck.
    """

    def __init__(
        self,
        meters: Meters | None = None,
        beat_ttl_s: float = 5.0,
        stuck_s: float = 60.0,
    ) -> None:
        self._meters = meters or Meters("worker")
        self.loop = Indicator("keeper", stuck_s, ok=True)
        """Of the keeper: it reports each turn."""
        self.redis = RedisIndicator(beat_ttl_s)
        """Of the keeper's steps; running calls go on without Redis."""
        self._heartbeat = Indicator("heartbeat", beat_ttl_s)
        self._replies = Indicator("replies", inf, ok=True)

    def checks(self) -> dict[str, Callable[[], Check]]:
        """Return what readiness needs of the ledger, and of Kafka's permission."""
        return {
            "redis": self.redis.check,
            "heartbeat": self._heartbeat.check,
            "replies": self._replies.check,
        }

    # -- the keeper -------------------------------------------------------------------

    def beaten(self, slots: Mapping[str, int]) -> None:
        """The ledger took the heartbeat."""
        self._heartbeat.report()
        self._meters.replace(
            metrics.WORKER_SLOTS, {(model,): n for model, n in slots.items()}
        )

    def leaving(self, worker_id: str) -> None:
        """The worker takes no more work."""
        self._heartbeat.report(ok=False, detail="the worker stops")
        self._meters.replace(metrics.WORKER_SLOTS, {})
        say(events.WORKER_LEAVING, worker_id=worker_id)

    # -- a request --------------------------------------------------------------------

    def claimed(self, job: Job) -> None:
        """The worker holds the lease."""
        cls = job.facts.cls
        self._meters.observe(metrics.QUEUE_SECONDS, job.queued_s, job.model, cls)
        self._meters.count(metrics.CALLS_IN_FLIGHT, job.model, cls)
        if job.attempt > 1:
            self._meters.count(metrics.ATTEMPTS_REPEATED, job.model, cls)
        say(events.REQUEST_CLAIMED, **_of(job))

    def released(self, job: Job) -> None:
        """The work on a claimed request is over, however it ended."""
        self._meters.count(metrics.CALLS_IN_FLIGHT, job.model, job.facts.cls, by=-1)

    def called(self, job: Job, model_s: float) -> None:
        """A call has ended, with an answer or an error."""
        self._meters.observe(
            metrics.MODEL_CALL_SECONDS, model_s, job.model, job.facts.cls
        )

    def answered(self, job: Job, answer: CallResult) -> None:
        """The reply is stored, as the first: it is the one."""
        code = answer.code or metrics.OK
        self._meters.count(metrics.ANSWERED, job.model, job.facts.cls, code)

    def published(self, job: Job, answer: CallResult, total_s: float) -> None:
        """Kafka acknowledged the reply, and the ledger knows."""
        self._replies.report()
        self._meters.observe(metrics.REQUEST_SECONDS, total_s, job.model, job.facts.cls)
        ok = answer.outcome.ok
        say(
            events.REQUEST_COMPLETED if ok else events.REQUEST_FAILED,
            model_s=answer.outcome.model_ms / 1000,
            total_s=total_s,
            code=answer.code or None,
            **_of(job),
        )

    def stored(self, job: Job, error: Exception) -> None:
        """The reply is stored, and it is not known whether it is in Kafka."""
        if isinstance(error, DeliveryFailed) and error.forbidden:
            self._replies.report(ok=False, detail=str(error))
        say(events.REPLY_STORED, error=type(error).__name__, **_of(job))

    def put_back(self, job: Job) -> None:
        """The request waits again."""
        say(events.REQUEST_PUT_BACK, **_of(job))

    def crashed(self, job: Job, exit_code: int) -> None:
        """A suspect ended the process that it ran in alone."""
        self._meters.count(metrics.SUSPECT_CRASHES)
        say(events.SUSPECT_CRASHED, exit_code=exit_code, **_of(job))

    def lost(self, job: Job) -> None:
        """Somebody else has the request, or answered it."""
        say(events.REQUEST_LOST, **_of(job))

    def ended(self, job: Job, how: str) -> None:
        """The work on a request that was taken is over."""
        self._meters.count(metrics.TAKES_ENDED, job.model, how)

    def abandoned(self, job: Job) -> None:
        """Redis did not answer for too long."""
        say(events.REQUEST_ABANDONED, **_of(job))


def _of(job: Job) -> dict[str, object]:
    return request_fields(job.facts) | {
        "model": job.model,
        "attempt": job.attempt,
        "queued_s": job.queued_s,
    }
