"""One call, from a job to its answer: what a worker does for every request.

It takes nothing and hands nothing in; the loop that runs it may be of any process.
"""

from agentsched.config.settings import EndpointSettings, Settings
from agentsched.errors import CallFailed
from agentsched.protocols import Completer
from agentsched.worker.call_result import (
    CallResult,
    Job,
    completed_result,
    failed_result,
    misplaced_result,
)
from agentsched.worker.clock import Clock
from agentsched.worker.time_limits import NO_LIMITS, TimeLimits, within


async def ask(
    settings: Settings,
    completer: Completer,
    job: Job,
    clock: Clock,
    limits: TimeLimits = NO_LIMITS,
) -> CallResult:
    """Have the model answer; its failure is an answer, too.

    Args:
        settings: endpoints and limits.
        completer: makes the call.
        job: the request, with its deadline on `clock`.
        clock: this process's.
        limits: the soft one counts here.
    """
    endpoint = _endpoint(settings, job)
    if endpoint is None:
        return misplaced_result(job)
    started = clock.now_s()
    left_s = job.time_left_s(started)
    try:
        completion = await within(
            limits,
            lambda: completer.complete(
                endpoint, job.model, job.request, left_s, job.facts.traceparent
            ),
        )
    except CallFailed as error:
        return failed_result(job, error, model_s=clock.now_s() - started)
    return completed_result(job, completion, settings.limits.reply_max_bytes)


def _endpoint(settings: Settings, job: Job) -> EndpointSettings | None:
    model = settings.model(job.model)
    endpoints = model.endpoints if model else ()
    return next((e for e in endpoints if e.name == job.endpoint), None)
