"""Every log event there is: its name, level, fields, description. Pure data.

A log line carries the fields that stand here and no others, so no content of a request
can get into one. `docs/reference/logs.md` is made from this file. It is long because it
is one table: what a system can say of itself is read in one place.
"""

from dataclasses import dataclass
from logging import DEBUG, ERROR, INFO, WARNING

REQUEST = ("correlation_id", "agent_id", "class")
PLACE = ("topic", "partition", "offset")
PARTITION = ("topic", "partition")
JOB = (*REQUEST, "model", "attempt", "queued_s")


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One thing that can happen."""

    name: str
    level: int
    """As in `logging`: INFO for what operators want to see of a busy system."""
    description: str
    fields: tuple[str, ...] = ()


# -- a request, in the order of its life ----------------------------------------------

REQUEST_ADMITTED = LogEvent(
    "request_admitted",
    DEBUG,
    "A bridge put the request into the ready set.",
    (*REQUEST, "models", *PLACE),
)
REQUEST_ATTACHED = LogEvent(
    "request_attached",
    INFO,
    "The agent sent an unanswered request again: one reply will settle both records.",
    (*REQUEST, *PLACE),
)
DOORBELL_RUNG = LogEvent(
    "doorbell_rung",
    DEBUG,
    "The bridge that leads woke a parked slot; the request that the doorbell names is"
    " what was first then, and the slot takes what is first when it wakes.",
    (*REQUEST, "model"),
)
REQUEST_RUNG = LogEvent(
    "request_rung",
    DEBUG,
    "The dispatcher reserved a slot and sent the doorbell to the model's queue.",
    (*REQUEST, "model", "ring"),
)
REQUEST_RUNG_AGAIN = LogEvent(
    "request_rung_again",
    WARNING,
    "Nobody claimed the doorbell in time, and it is not in its queue: sent anew.",
    (*REQUEST, "model", "ring"),
)
RESERVATION_RETURNED = LogEvent(
    "reservation_returned",
    INFO,
    "No live worker serves the model any more: the request waits again.",
    (*REQUEST, "ring"),
)
DOORBELL_FAILED = LogEvent(
    "doorbell_failed",
    WARNING,
    "Celery's broker did not take a doorbell; it is rung again later.",
    (*REQUEST, "model", "detail"),
)
REQUEST_CLAIMED = LogEvent(
    "request_claimed", DEBUG, "A worker took the lease and calls the model.", JOB
)
REQUEST_TAKEN = LogEvent(
    "request_taken",
    DEBUG,
    "A worker took the request for a free slot: it has the lease and calls the model.",
    JOB,
)
REQUEST_COMPLETED = LogEvent(
    "request_completed",
    INFO,
    "The model's answer is in Kafka.",
    (*JOB, "model_s", "total_s"),
)
REQUEST_FAILED = LogEvent(
    "request_failed",
    INFO,
    "The request ended with an error; the failed reply is in Kafka, or on its way"
    " where a bridge answered.",
    (*JOB, "model_s", "total_s", "code"),
)
REPLY_STORED = LogEvent(
    "reply_stored",
    WARNING,
    "The reply is safe in the ledger, but Kafka or Redis did not acknowledge that it is"
    " published: a bridge sends it again.",
    (*JOB, "error"),
)
REPLY_SENT_AGAIN = LogEvent(
    "reply_sent_again",
    WARNING,
    "A bridge publishes a stored reply that its worker did not.",
    REQUEST,
)
REQUEST_PUT_BACK = LogEvent(
    "request_put_back",
    INFO,
    "The worker stops, or has no room for it: the request waits again, without a reply.",
    JOB,
)
SUSPECT_CRASHED = LogEvent(
    "suspect_crashed",
    ERROR,
    "A request that ran alone ended its process; after three times it is POISON.",
    (*JOB, "exit_code"),
)
REQUEST_LOST = LogEvent(
    "request_lost",
    WARNING,
    "The worker's lease is over: somebody else answered the request or runs it, and"
    " this answer is thrown away.",
    JOB,
)
REQUEST_ABANDONED = LogEvent(
    "request_abandoned",
    WARNING,
    "Redis did not answer the worker; the request runs again when its lease is over.",
    JOB,
)
LEASE_EXPIRED = LogEvent(
    "lease_expired",
    WARNING,
    "A worker was silent for longer than its lease: its request waits again.",
    REQUEST,
)
REQUEST_SETTLED = LogEvent(
    "request_settled",
    DEBUG,
    "The reply is acknowledged: the record's offset may be committed.",
    (*REQUEST, *PLACE),
)
REQUEST_REFUSED = LogEvent(
    "request_refused",
    INFO,
    "The request cannot run; its failed reply is on its way to Kafka.",
    (*REQUEST, "code", *PLACE),
)
CANCEL_RECEIVED = LogEvent(
    "cancel_received",
    INFO,
    "A record on an input topic cancels a request; it is named where this bridge has it.",
    REQUEST,
)
REPLY_REPEATED = LogEvent(
    "reply_repeated",
    INFO,
    "The agent sent an answered request again: the reply was sent again, without a"
    " call.",
    (*REQUEST, *PLACE),
)
DEAD_LETTERED = LogEvent(
    "dead_lettered",
    WARNING,
    "The record cannot be answered; it is in the dead-letter topic.",
    ("code", "detail", *PLACE),
)
DELIVERY_FAILED = LogEvent(
    "delivery_failed",
    WARNING,
    "Kafka did not acknowledge a record of the bridge; it is sent again until it does."
    " Where `detail` names no outage (a size, a missing topic, a right), mend that.",
    ("topic", "detail"),
)

# -- a bridge -------------------------------------------------------------------------

BRIDGE_STARTED = LogEvent(
    "bridge_started", INFO, "The bridge reads its topics.", ("bridge_id", "topics")
)
BRIDGE_DRAINING = LogEvent(
    "bridge_draining",
    INFO,
    "The bridge stops: it starts nothing more, and waits for what is in flight.",
    ("in_flight",),
)
BRIDGE_STOPPED = LogEvent("bridge_stopped", INFO, "The bridge has ended in order.")
PARTITION_ASSIGNED = LogEvent(
    "partition_assigned",
    INFO,
    "The bridge owns a partition from now on.",
    ("topic", "partition", "start", "end"),
)
PARTITION_REVOKED = LogEvent(
    "partition_revoked",
    INFO,
    "Another bridge owns the partition from now on.",
    ("topic", "partition"),
)
PARTITION_PAUSED = LogEvent(
    "partition_paused",
    WARNING,
    "The partition's part of the index is full: nothing more is read for now.",
    ("topic", "partition"),
)
PARTITION_RESUMED = LogEvent(
    "partition_resumed", INFO, "The partition is read on.", ("topic", "partition")
)
RECORDS_DELETED = LogEvent(
    "records_deleted",
    ERROR,
    "Kafka has deleted records that nobody had answered: raise the topic's retention"
    " above the longest time to live (`limits.ttl_max_s`), and let no backlog get older.",
    (*PARTITION, "records", "start"),
)
OFFSETS_EXPIRED = LogEvent(
    "offsets_expired",
    ERROR,
    "Kafka has no committed offset of the group, and the ledger knows answers: Kafka has"
    " forgotten it (offsets.retention.minutes), or the group has another name. What the"
    " ledger knows to be answered stays so; the rest is read.",
    (*PARTITION, "records", "start"),
)
LOG_TRUNCATED = LogEvent(
    "log_truncated",
    ERROR,
    "The partition ends below its committed offset: Kafka has lost what it had"
    " acknowledged (an unclean leader election?).",
    (*PARTITION, "records", "start"),
)
LEADER_GAINED = LogEvent(
    "leader_gained",
    INFO,
    "The bridge took the dispatcher lease: it decides what starts.",
    ("bridge_id",),
)
LEADER_LOST = LogEvent(
    "leader_lost",
    INFO,
    "The bridge no longer holds the dispatcher lease.",
    ("bridge_id",),
)
EPOCH_CHANGED = LogEvent(
    "epoch_changed",
    WARNING,
    "Redis has lost data or was replaced: what was in flight is looked up in Kafka, and"
    " runs again where it has no answer.",
    ("epoch",),
)
LOOKED_UP = LogEvent(
    "looked_up",
    INFO,
    "After a loss of Redis: so many requests turned out to be answered in Kafka.",
    ("answered",),
)
LOOK_UP_FAILED = LogEvent(
    "look_up_failed",
    WARNING,
    "Kafka did not tell which requests are answered; nothing of them runs before it does.",
    ("detail",),
)
CONFIGURATION_RELOADED = LogEvent(
    "configuration_reloaded", INFO, "The configuration was read again.", ("models",)
)
CONFIGURATION_NEEDS_RESTART = LogEvent(
    "configuration_needs_restart",
    WARNING,
    "The configuration was read again, and these settings count only after a restart;"
    " for the bridges, `detail` says what is in force until then.",
    ("restart", "keys", "detail"),
)
CONFIGURATION_KEPT = LogEvent(
    "configuration_kept",
    ERROR,
    "The new configuration is wrong or cannot be adopted; the old one stays in force.",
    ("detail",),
)

CONTROL_IMPOSED = LogEvent(
    "control_imposed",
    WARNING,
    "Operators paused a model, blocked an agent, or drain the system.",
    ("control",),
)
CONTROL_UNREAD = LogEvent(
    "control_unread",
    ERROR,
    "A newer version wrote an order of operators: what its name says holds, and where"
    " that is not known, nothing starts. Upgrade this bridge.",
    ("control",),
)
CONTROL_LIFTED = LogEvent(
    "control_lifted", WARNING, "A control is no longer in force.", ("control",)
)
NOT_NOTED = LogEvent(
    "not_noted",
    WARNING,
    "Kafka acknowledged something that the ledger could not be told; it is repeated.",
    ("detail",),
)

# -- a worker -------------------------------------------------------------------------

WORKER_STARTED = LogEvent(
    "worker_started", INFO, "The worker takes doorbells.", ("worker_id", "slots")
)
WORKER_LEAVING = LogEvent(
    "worker_leaving",
    INFO,
    "The worker stops: it takes no more doorbells.",
    ("worker_id",),
)
WORKER_STOPPED = LogEvent(
    "worker_stopped", INFO, "The worker has ended in order.", ("worker_id",)
)
DOORBELL_REFUSED = LogEvent(
    "doorbell_refused",
    WARNING,
    "A message in a model's queue is no doorbell of a version that is known here.",
    ("detail",),
)
TASKS_REVOKED = LogEvent(
    "tasks_revoked",
    INFO,
    "Somebody revoked tasks with Celery: their requests are cancelled.",
    ("task_ids", "unknown"),
)
REVOKE_FAILED = LogEvent(
    "revoke_failed",
    WARNING,
    "Revoked requests could not be cancelled yet; each is when its doorbell comes.",
    ("detail",),
)
BUG = LogEvent(
    "bug",
    ERROR,
    "An exception that nobody expected; the request runs again when its lease is over.",
    ("correlation_id", "error", "where"),
)

# -- both -----------------------------------------------------------------------------

REDIS_UNREACHABLE = LogEvent(
    "redis_unreachable",
    WARNING,
    "Redis does not answer; said once, until it answers again.",
    ("step", "detail"),
)
REDIS_REACHABLE = LogEvent("redis_reachable", WARNING, "Redis answers again.")
PROCESS_TOO_OLD = LogEvent(
    "process_too_old",
    ERROR,
    "A newer version of AgentSched wrote what this process cannot read: it ends, and has"
    " to be upgraded, too.",
    ("detail",),
)
HTTP_LISTENING = LogEvent(
    "http_listening",
    INFO,
    "The process serves metrics and health; `wanted` is there when that port was taken.",
    ("address", "wanted"),
)
CONFIGURATION_NOTE = LogEvent(
    "configuration_note",
    INFO,
    "Something about the configuration that its author should know.",
    ("detail",),
)

EVENTS: tuple[LogEvent, ...] = tuple(
    value for value in list(vars().values()) if isinstance(value, LogEvent)
)
"""All of them, in the order of this file."""

# -- fields ---------------------------------------------------------------------------

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
    "keys": "Settings, as the configuration file names them.",
    "restart": "Which processes have to be started anew: `bridges` or `workers`.",
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
"""What each field means; none is content of a request."""
