"""The fields of log lines: what each of them means, and those that name a request.

None of them is content of a request; which event has which stands in `events.py`.
"""

from agentsched.wire.doorbell import Doorbell
from agentsched.wire.request_facts import RequestFacts

FIELDS = {
    "address": "Where the process serves `/metrics`, `/healthz` and `/readyz`.",
    "agent_id": "Who sent the request.",
    "answered": "How many requests have an answer.",
    "attempt": "Which start of the request this is; 1 is the first.",
    "bridge_id": "Names the bridge process; random.",
    "class": "`high`, `medium` or `low`.",
    "code": "The error code of the reply, or the reason of the dead letter.",
    "control": "What operators ordered, who and why.",
    "correlation_id": "Names the request, together with `agent_id`.",
    "detail": "One sentence for people; never content of a request.",
    "end": "The offset after the last record that is there now.",
    "epoch": "Names the contents of Redis; another one means that it was lost.",
    "error": "The class of an exception; its text may hold content and is left out.",
    "exit_code": "How a process ended; negative: the signal.",
    "in_flight": "Requests of this bridge that run or are about to.",
    "model": "The model that answers.",
    "models": "The models that may answer.",
    "model_s": "Seconds that the call took.",
    "offset": "The request's place in its partition.",
    "partition": "The number of the partition.",
    "records": "How many records are concerned.",
    "queued_s": "Seconds from the broker's append time to the start.",
    "ring": "The number of the doorbell; the first of a request is 1.",
    "slots": "Requests that the worker can run at once, per model.",
    "start": "The offset from which records are read.",
    "step": "The step of the ledger.",
    "task_ids": "Celery's ids of the doorbells, as they were given.",
    "topic": "The topic.",
    "topics": "The input topics.",
    "total_s": "Seconds from the broker's append time to the acknowledged reply.",
    "unknown": "Those of the ids that name no unanswered request.",
    "wanted": "The port that was configured and is taken.",
    "where": "The lines of code that an exception passed; no values.",
    "worker_id": "Names the worker process; its end is random.",
}
"""What each field means."""

PYTHON_NAMES = {"class": "cls"}
"""Fields whose name is a keyword: what `say` calls them."""


def request_fields(named: RequestFacts | Doorbell) -> dict[str, object]:
    """Return what names a request, as `say` wants it."""
    return {
        "correlation_id": named.correlation_id,
        "agent_id": named.agent_id,
        "cls": named.cls,
    }


def place_fields(facts: RequestFacts) -> dict[str, object]:
    """Return what names a request, and where its record stands."""
    return request_fields(facts) | {
        "topic": facts.topic,
        "partition": facts.partition,
        "offset": facts.offset,
    }


def doorbell_fields(doorbell: Doorbell) -> dict[str, object]:
    """Return what names a request, and the model that its doorbell is for."""
    return request_fields(doorbell) | {"model": doorbell.model}
