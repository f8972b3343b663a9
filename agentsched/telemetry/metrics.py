"""Every metric there is: name with its unit, labels, buckets, description. Pure data.

Labels have few values: models of the configuration, three classes, error codes, topics.
No id is a label. `docs/reference/metrics.md` is made from this file. It is long because
it is one table: what a system can count is read in one place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agentsched.errors import (
    EpochChanged,
    ErrorCode,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.turns import PlanOutcome
from agentsched.ledger.values import AdmitOutcome
from agentsched.types import Priority

Process = Literal["bridge", "worker"]

LABELS = {
    "alarm": "`records_deleted` (unanswered records were deleted by Kafka),"
    " `offsets_expired` (Kafka forgot the group's committed offset), `log_truncated`"
    " (Kafka lost records that it had acknowledged), `control_unread` (an order of"
    " operators that this version cannot read: it is held to be safe; no topic).",
    "class": "`high`, `medium` or `low`.",
    "code": "`OK`, or the error code of the failed reply.",
    "ended": "How the work on a request that was taken ended: `answered`, `stored` (a"
    " bridge publishes the reply), `stale` (Redis is another one now), `put_back`, `lost`"
    " (the lease was over), `cancelled` (before or in its call), `unavailable` (Redis did"
    " not answer), `bug` (an error of ours: it runs again).",
    "error": "Our name of the error: `LedgerUnavailable` (no answer), `EpochChanged`"
    " (Redis was emptied or replaced), `NewerFormat` (this process is too old),"
    " `LedgerError` (Redis refused the step).",
    "kind": "`attached` (sent again before the answer), `repeated` (after it),"
    " `conflict` (another payload under the same identity).",
    "model": "A model of the configuration; `any`: several may answer; `none`: no model"
    " was found.",
    "outcome": "What the ledger did with a plan: `planned`; or it changed nothing:"
    " `not_dispatcher` (another bridge leads), `old_revision` (limits or orders have"
    " changed: they are read, and it is planned again), `old_number` (a later plan was"
    " there first), `gone` (Redis was put back: another epoch begins).",
    "partition": "The number of the partition.",
    "reason": "The reason in the dead letter's header.",
    "stage": "`waiting` (in Kafka only), `ready` (in the ready set), `in_flight`"
    " (a worker took it, or later).",
    "step": "The step of the ledger, as in `docs/delivery.md`.",
    "topic": "An input topic.",
    "version": "The version of AgentSched.",
}
"""What each label means."""

OK = "OK"
"""The code of an answer that is no error."""
UNKNOWN = "UNKNOWN"
"""The code of a reply whose code is not one of ours."""
ANY_MODEL, NO_MODEL = "any", "none"
CONTROL_UNREAD = "control_unread"
"""The alarm that concerns no topic."""
DEAD_LETTER_REASONS = (
    ErrorCode.MALFORMED,
    ErrorCode.TOO_LARGE,
    ErrorCode.MISSING_IDENTITY,
    ErrorCode.CONFLICT,
    ErrorCode.POISON,
)
_ENUMERATED: dict[str, tuple[str, ...]] = {
    "class": tuple(Priority),
    "error": tuple(
        error.__name__
        for error in (LedgerError, EpochChanged, LedgerUnavailable, NewerFormat)
    ),
}
LABEL_VALUES: Mapping[Process, Mapping[str, tuple[str, ...]]] = {
    "bridge": _ENUMERATED
    | {
        "alarm": ("records_deleted", "offsets_expired", "log_truncated"),
        "code": (
            ErrorCode.DEADLINE_EXCEEDED,
            ErrorCode.UNKNOWN_MODEL,
            ErrorCode.MODEL_REMOVED,
            ErrorCode.NO_MODEL_FOR_TASK,
            ErrorCode.EMPTY_CONTENT,
            ErrorCode.AGENT_BLOCKED,
            ErrorCode.CANCELLED,
            ErrorCode.POISON,
            ErrorCode.REPLY_TOPIC_NOT_ALLOWED,
            ErrorCode.REPLY_EXPIRED,
            ErrorCode.INVALID_REQUEST,
            UNKNOWN,
        ),
        "kind": (AdmitOutcome.ATTACHED, AdmitOutcome.REPEATED, AdmitOutcome.CONFLICT),
        "outcome": tuple(PlanOutcome),
        "reason": (*DEAD_LETTER_REASONS, UNKNOWN),
        "step": (
            "admit",
            "beat",
            "beat_bridge",
            "cancel",
            "complete",
            "drop_older",
            "expire",
            "forget_answered",
            "forget_done",
            "impose",
            "inspect",
            "lead",
            "leave_bridge",
            "live_slots",
            "now_ms",
            "orders",
            "partition",
            "plan",
            "published",
            "reply",
            "report",
            "resign",
            "restore_done",
            "set_limits",
            "settle",
            "snapshot",
            "tell",
            "totals",
            "turn",
            "withdraw",
        ),
    },
    "worker": _ENUMERATED
    | {
        "code": (
            OK,
            ErrorCode.DEADLINE_EXCEEDED,
            ErrorCode.INVALID_REQUEST,
            ErrorCode.MODEL_UNAVAILABLE,
            ErrorCode.MODEL_REJECTED,
            ErrorCode.MODEL_MISCONFIGURED,
            ErrorCode.UPSTREAM_INVALID,
            ErrorCode.REPLY_TOO_LARGE,
            ErrorCode.EMPTY_CONTENT,
            ErrorCode.CANCELLED,
            ErrorCode.TIME_LIMIT_EXCEEDED,
        ),
        "ended": (
            "answered",
            "stored",
            "stale",
            "put_back",
            "lost",
            "cancelled",
            "unavailable",
            "bug",
        ),
        "step": (
            "beat_worker",
            "cancel",
            "inspect",
            "leave_worker",
            "renew",
            "settle",
            "snapshot",
            "turn",
        ),
    },
}
"""What each label may be in a process, beside models and topics of the configuration.

A counter shows all its label values from the start, at 0: `increase` does not see a
series that begins with 1.
"""

CALL_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
"""From a cached answer to the default time to live (600 s)."""
WAIT_BUCKETS_S = (0.005, 0.01, 0.025, *CALL_BUCKETS_S, 1800, 3600)
"""From a free slot to a long backlog."""
STEP_BUCKETS_S = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)
"""From a round trip on one host to the socket's time-out (5 s)."""
DELIVERY_BUCKETS_S = (*STEP_BUCKETS_S, 10, 30)
"""To beyond the time-out of a delivery (`timing.delivery_timeout_s`, 10 s)."""
LEDGER_TURN_BUCKETS_S = (*STEP_BUCKETS_S, 10, 15)
"""To the end of a lease (`timing.lease_s`, 15 s), before which a worker gives a turn up."""
TURN_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""A turn works for some 20 ms on what has come; whoever leads and stands still for 3 s
loses the lead."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    processes: tuple[Process, ...]
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    of_groups: bool = False
    """Counts requests that several models may answer, or none: `model` may be `any` or
    `none`, too."""
    also: tuple[tuple[str, ...], ...] = ()
    """Label values that are no combination of the others."""


BRIDGE: tuple[Process, ...] = ("bridge",)
WORKER: tuple[Process, ...] = ("worker",)
BOTH: tuple[Process, ...] = ("bridge", "worker")

# -- what agents feel -----------------------------------------------------------------

ANSWERED = Metric(
    "agentsched_answered_total",
    "counter",
    BOTH,
    "Requests that got their terminal reply, counted once by the process that decided"
    " it. Repeats of a reply and dead letters are not among them.",
    ("model", "class", "code"),
    of_groups=True,
)
REQUEST_SECONDS = Metric(
    "agentsched_request_seconds",
    "histogram",
    WORKER,
    "From the broker's append time of a request to the acknowledged reply.",
    ("model", "class"),
    WAIT_BUCKETS_S,
)
QUEUE_SECONDS = Metric(
    "agentsched_queue_seconds",
    "histogram",
    WORKER,
    "From the broker's append time of a request to each start of it.",
    ("model", "class"),
    WAIT_BUCKETS_S,
)
MODEL_CALL_SECONDS = Metric(
    "agentsched_model_call_seconds",
    "histogram",
    WORKER,
    "Calls to model servers that ended, with an answer or an error.",
    ("model", "class"),
    CALL_BUCKETS_S,
)

# -- a worker's work ------------------------------------------------------------------

CALLS_IN_FLIGHT = Metric(
    "agentsched_calls_in_flight",
    "gauge",
    WORKER,
    "Requests that this worker runs now.",
    ("model", "class"),
)
ATTEMPTS_REPEATED = Metric(
    "agentsched_attempts_repeated_total",
    "counter",
    WORKER,
    "Starts of a request that had been started before: after a crash, a lost lease or"
    " a retry.",
    ("model", "class"),
)
SUSPECT_CRASHES = Metric(
    "agentsched_suspect_crashes_total",
    "counter",
    WORKER,
    "Processes that a suspect ended while it ran alone in them; three make it poison.",
)
TAKES_ENDED = Metric(
    "agentsched_takes_ended_total",
    "counter",
    WORKER,
    "Requests that the worker took and is done with, by how that ended.",
    ("model", "ended"),
)
WORKER_SLOTS = Metric(
    "agentsched_worker_slots",
    "gauge",
    WORKER,
    "Requests of a model that this worker can run at once.",
    ("model",),
)
PARKED_SLOTS = Metric(
    "agentsched_parked_slots",
    "gauge",
    WORKER,
    "Slots of this worker that are free and found nothing to take: they wait for a"
    " doorbell. One that serves several models counts at each.",
    ("model",),
)
TURNS = Metric(
    "agentsched_turns_total",
    "counter",
    WORKER,
    "Turns that the ledger has done for this worker: each publishes, completes, puts back"
    " and takes for all of its slots. A turn that is repeated counts once.",
)
TURN_SECONDS = Metric(
    "agentsched_turn_seconds",
    "histogram",
    WORKER,
    "From the first sending of a turn to its answer, with its repeats.",
    (),
    LEDGER_TURN_BUCKETS_S,
)

# -- a bridge's picture ---------------------------------------------------------------

REQUESTS = Metric(
    "agentsched_requests",
    "gauge",
    BRIDGE,
    "Unanswered requests of this bridge's partitions, by where they are; the sum over"
    " all bridges is all there are.",
    ("stage", "model", "class"),
)
REQUESTS_WITHOUT_WORKER = Metric(
    "agentsched_requests_without_worker",
    "gauge",
    BRIDGE,
    "Requests of this bridge's partitions that wait while no live worker serves a model"
    " that may answer them and is not paused. One that several may answer counts at"
    " each. Not shown while Redis does not answer.",
    ("model",),
)
SLOTS_IN_USE = Metric(
    "agentsched_slots_in_use",
    "gauge",
    BRIDGE,
    "Requests in flight over all bridges and workers; only the bridge that leads has it.",
    ("model", "class"),
)
CAPACITY_SLOTS = Metric(
    "agentsched_capacity_slots",
    "gauge",
    BRIDGE,
    "Requests that a model may have in flight, as configured.",
    ("model",),
)
LIVE_SLOTS = Metric(
    "agentsched_live_slots",
    "gauge",
    BRIDGE,
    "Slots of the workers that live, over all of them.",
    ("model",),
)
LIVE_BRIDGES = Metric(
    "agentsched_live_bridges",
    "gauge",
    BRIDGE,
    "Bridges that live, as this one sees it.",
)
LEADS = Metric(
    "agentsched_leads",
    "gauge",
    BRIDGE,
    "1 while this bridge holds the dispatcher lease, else 0. The sum over all bridges"
    " is 1, save for some seconds of a change.",
)
LEADER_CHANGES = Metric(
    "agentsched_leader_changes_total",
    "counter",
    BRIDGE,
    "How often this bridge took the dispatcher lease or lost it.",
)
INDEX_RECORDS = Metric(
    "agentsched_index_records", "gauge", BRIDGE, "Unanswered records in the index."
)
INDEX_BYTES = Metric(
    "agentsched_index_bytes",
    "gauge",
    BRIDGE,
    "Memory that the index takes: payloads and what is kept beside them.",
)
READY_BYTES = Metric(
    "agentsched_ready_bytes",
    "gauge",
    BRIDGE,
    "Payloads of this bridge's admitted requests.",
)

# -- partitions -----------------------------------------------------------------------

PARTITIONS_OWNED = Metric(
    "agentsched_partitions_owned", "gauge", BRIDGE, "Partitions that this bridge reads."
)
PARTITIONS_PAUSED = Metric(
    "agentsched_partitions_paused",
    "gauge",
    BRIDGE,
    "Partitions of which nothing more is read, because their part of the index is full.",
)
PARTITION_LAG_RECORDS = Metric(
    "agentsched_partition_lag_records",
    "gauge",
    BRIDGE,
    "Records from the watermark (below it all is answered) to the end of the partition.",
    ("topic", "partition"),
)
PARTITION_UNREAD_RECORDS = Metric(
    "agentsched_partition_unread_records",
    "gauge",
    BRIDGE,
    "Records that the bridge has not yet read: of these it knows nothing.",
    ("topic", "partition"),
)
PARTITION_OLDEST_SECONDS = Metric(
    "agentsched_partition_oldest_waiting_seconds",
    "gauge",
    BRIDGE,
    "Age of the oldest request of the partition that has not started; 0: none waits.",
    ("topic", "partition"),
)
RECORDS_READ = Metric(
    "agentsched_records_read_total",
    "counter",
    BRIDGE,
    "Records read from input topics, also those that are read again.",
    ("topic",),
)
COMMITS = Metric(
    "agentsched_commits_total", "counter", BRIDGE, "Commits that Kafka acknowledged."
)

# -- what a bridge does ---------------------------------------------------------------

ADMITTED = Metric(
    "agentsched_admitted_total",
    "counter",
    BRIDGE,
    "Requests that entered the ready set.",
    ("model", "class"),
    of_groups=True,
)
DUPLICATES = Metric(
    "agentsched_duplicates_total",
    "counter",
    BRIDGE,
    "Records whose identity was known already.",
    ("kind",),
)
PLANS = Metric(
    "agentsched_plans_total",
    "counter",
    BRIDGE,
    "Plans that this bridge, as the dispatcher, gave to the ledger: lists of what may"
    " start.",
    ("outcome",),
)
DOORBELLS_RUNG = Metric(
    "agentsched_doorbells_rung_total",
    "counter",
    BRIDGE,
    "Doorbells sent to wake parked slots, repeats among them.",
    ("model",),
)
DOORBELLS_RUNG_AGAIN = Metric(
    "agentsched_doorbells_rung_again_total",
    "counter",
    BRIDGE,
    "Doorbells sent once more, because slots stayed parked beside requests that they could"
    " run.",
    ("model",),
)
DOORBELL_FAILURES = Metric(
    "agentsched_doorbell_failures_total",
    "counter",
    BRIDGE,
    "Doorbells that Celery's broker did not take.",
)
LEASE_EXPIRIES = Metric(
    "agentsched_lease_expiries_total",
    "counter",
    BRIDGE,
    "Leases that ended without an answer: a worker crashed, hung or lost Redis.",
)
REPLIES_SENT_AGAIN = Metric(
    "agentsched_replies_sent_again_total",
    "counter",
    BRIDGE,
    "Stored replies that a bridge published in a worker's place.",
)
DEAD_LETTERS = Metric(
    "agentsched_dead_letters_total",
    "counter",
    BRIDGE,
    "Records that cannot be answered, now in a dead-letter topic.",
    ("reason",),
)
ALARMS = Metric(
    "agentsched_alarms_total",
    "counter",
    BRIDGE,
    "What should not happen, and what a person has to look into; the log says more.",
    ("alarm", "topic"),
    also=((CONTROL_UNREAD, ""),),
)
EPOCH_CHANGES = Metric(
    "agentsched_epoch_changes_total",
    "counter",
    BRIDGE,
    "How often Redis was found empty or another one.",
)
LOOP_TURN_SECONDS = Metric(
    "agentsched_loop_turn_seconds",
    "histogram",
    BRIDGE,
    "Turns of the bridge's loop, without its sleep until something comes.",
    (),
    TURN_BUCKETS_S,
)

# -- stores ---------------------------------------------------------------------------

REDIS_STEP_SECONDS = Metric(
    "agentsched_redis_step_seconds",
    "histogram",
    BOTH,
    "Steps of the ledger, failed ones too; a batch counts as one.",
    ("step",),
    STEP_BUCKETS_S,
)
REDIS_STEP_FAILURES = Metric(
    "agentsched_redis_step_failures_total",
    "counter",
    BOTH,
    "Steps of the ledger that failed.",
    ("step", "error"),
)
KAFKA_DELIVERY_SECONDS = Metric(
    "agentsched_kafka_delivery_seconds",
    "histogram",
    BOTH,
    "From handing a record to the producer to Kafka's acknowledgement.",
    (),
    DELIVERY_BUCKETS_S,
)
KAFKA_DELIVERY_FAILURES = Metric(
    "agentsched_kafka_delivery_failures_total",
    "counter",
    BOTH,
    "Replies and dead letters that Kafka did not acknowledge in time.",
)
LOG_LINES_LOST = Metric(
    "agentsched_log_lines_lost_total",
    "counter",
    BOTH,
    "Lines of the log that could not be written: a full disk, a file that is gone.",
)
BUILD_INFO = Metric(
    "agentsched_build_info",
    "gauge",
    BOTH,
    "Always 1; the version is its label.",
    ("version",),
)

METRICS: tuple[Metric, ...] = tuple(
    value for value in list(vars().values()) if isinstance(value, Metric)
)
"""All of them, in the order of this file."""
