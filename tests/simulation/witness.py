"""Sees everything that happens, and says which promises were broken.

The promises are those of `docs/delivery.md`; I1 to I10 are the names of their checks.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import Any

from agentsched.client.pending_requests import Outstanding
from agentsched.config.settings import Settings
from agentsched.ledger.turns import Taken
from agentsched.ledger.values import AdmitOutcome, State
from agentsched.wire.codec import PAYLOAD_HASH, Identity, hash_value
from agentsched.wire.conflicts import Conflict, read_conflict
from agentsched.wire.records import InboundRecord, OutboundRecord, Partition, RecordAt
from agentsched.wire.source_record import SourceRecord, settled_by
from tests.simulation.cancels import Cancels
from tests.simulation.clients import SimClients
from tests.simulation.deadlines import GRACE_MS, deadline_ms, late_ms
from tests.simulation.kafka import Group, SimKafka
from tests.simulation.leases import Lease, Leases
from tests.simulation.model import ServerCall, SimModels, answer_to
from tests.simulation.plan import AGENT, POISON, Submission
from tests.simulation.redis import SimRedis
from tests.simulation.turn_rules import TurnRules
from tests.simulation.world import Process, World

OWN_REPLIES = {"UNKNOWN_MODEL", "NO_MODEL_FOR_TASK", "REPLY_EXPIRED"}
"""Codes of replies that a bridge gives without the ledger."""
IN_SPITE_OF_A_CANCEL = {"CANCELLED", "POISON", *OWN_REPLIES}
"""What a request that was cancelled may be answered: it could not run in any case."""


@dataclass
class Reply:
    """One record of the reply topic."""

    at_ms: int
    value: bytes
    label: str
    content: str | None
    code: str | None
    settles: SourceRecord | None
    """The one record that it answers; None: all of its identity."""


@dataclass
class Letter:
    """One dead letter."""

    at_ms: int
    reason: str


@dataclass
class Story:
    """All that happened to one identity."""

    records: list[tuple[Submission, RecordAt, int]] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    calls: int = 0
    expiries: int = 0
    put_backs: set[str] = field(default_factory=set)
    """Leases under which it was given back."""
    winners: dict[str, set[Any]] = field(default_factory=lambda: defaultdict(set))
    """era -> whose reply was stored."""
    stored: set[str] = field(default_factory=set)
    """Hashes of the replies that were stored."""
    payloads: dict[str, str] = field(default_factory=dict)
    """label -> hash of the payload; not of what is malformed."""
    told: set[str] = field(default_factory=set)
    """Hashes of the payloads of which a conflict was told."""
    lease: Lease | None = None
    lease_id: str = ""


class Witness:
    """Watches one run.

    Args:
        faults: whether any strike; without them it allows for none.
    """

    def __init__(
        self,
        world: World,
        settings: Settings,
        redis: SimRedis,
        kafka: SimKafka,
        group: Group,
        models: SimModels,
        *,
        faults: bool,
        outstanding: type[Outstanding] = Outstanding,
    ) -> None:
        self._world = world
        self._settings = settings
        self._faults = faults
        lease_ms = round(settings.timing.lease_s * 1000)
        self._leases = Leases(world, redis, lease_ms)
        self._redis, self._kafka = redis, kafka
        self._group, self._models = group, models
        self.violations: list[str] = []
        self.differing = 0
        """Second replies of other bytes than the first, after a loss of Redis."""
        self.stories: dict[str, Story] = {}
        """By correlation id."""
        self._by_key: dict[str, Story] = {}
        self.letters: dict[RecordAt, list[Letter]] = defaultdict(list)
        self.unanswered: dict[RecordAt, Submission] = {}
        self._sent_ms: dict[RecordAt, int] = {}
        self._cancels = Cancels(world, redis, faults=faults)
        self._clients = SimClients(self.blame, outstanding)
        self._cancel_keys: dict[RecordAt, str] = {}
        """Where a record cancels something, and what."""
        self._lowest: dict[Partition, int] = {}
        self._starts: dict[tuple[str, str, int], str] = {}
        self._turns = TurnRules(world, redis, self.blame)
        self._epochs_ms: dict[str, int] = {}
        """When each epoch began."""
        self._call_leases: dict[int, Lease | None] = {}
        self._steps: Counter[str] = Counter()
        self._sees = {
            name.removeprefix("_saw_"): getattr(self, name)
            for name in dir(self)
            if name.startswith("_saw_")
        }
        redis.watchers.append(self._step)
        kafka.appended.append(self._appended)
        kafka.fetched.append(self._fetched)
        group.commits.append(self._committed)
        models.started.append(self._called)

    def blame(self, what: str, *details: Any) -> None:
        """Note a broken promise."""
        text = f"{what}: {' '.join(map(str, details))}" if details else what
        self._world.note("checker", "VIOLATION", text)
        self.violations.append(f"{self._world.now_ms % 10_000_000} ms: {text}")

    def facts(self) -> dict[str, int]:
        """What the run consisted of."""
        return {
            "requests": len(self.stories),
            "records": sum(len(story.records) for story in self.stories.values()),
            "replies": sum(len(story.replies) for story in self.stories.values()),
            "calls": sum(story.calls for story in self.stories.values()),
            "differing replies": self.differing,
            "troubles": len(self._world.troubles),
            "lines": len(self._world.history),
        }

    # -- what comes in ------------------------------------------------------------

    def sent(
        self, submission: Submission, at: RecordAt, record: OutboundRecord
    ) -> None:
        """An agent's record was acknowledged: from now on it is owed an answer."""
        self.unanswered[at] = submission
        self._sent_ms[at] = self._world.now_ms
        self._world.note(
            "agent", "sent", submission.kind, submission.correlation_id, *_at(at)
        )
        if submission.kind == "cancel":
            self._cancel_keys[at] = _key(submission.correlation_id)
            return
        story = self.stories.get(submission.correlation_id)
        if story is None:
            story = self.stories[submission.correlation_id] = Story()
            self._by_key[_key(submission.correlation_id)] = story
        story.records.append((submission, at, self._world.now_ms))
        if submission.kind != "malformed":
            story.payloads[submission.label] = hash_value(record.value or b"")
            self._clients.sent(submission, record)
        # The agent sent it again, and the answer is there already.
        self._strike_out(story)

    def _strike_out(self, story: Story) -> None:
        labels = {reply.label for reply in story.replies}
        for submission, at, _ in story.records:
            letters = self.letters.get(at, ())
            if submission.kind == "malformed":
                answered = any(one.reason == "MALFORMED" for one in letters)
            else:
                conflict = any(one.reason == "CONFLICT" for one in letters)
                answered = submission.label in labels or conflict
            if answered and self.unanswered.pop(at, None):
                self._check_deadline(submission, self._sent_ms[at])

    def _check_deadline(self, submission: Submission, sent_ms: int) -> None:
        """L1: it is answered by its deadline and a grace."""
        due_ms = deadline_ms(submission, sent_ms, self._settings.limits.ttl_s)
        troubles = self._world.troubles if self._faults else ()
        late = late_ms(due_ms, self._world.now_ms, troubles)
        if late > GRACE_MS:
            self.blame("L1 answered later than the grace", submission.label, late)

    def _fetched(self, record: InboundRecord) -> None:
        at = RecordAt(record.topic, record.partition, record.offset)
        if key := self._cancel_keys.get(at):
            self._cancels.read(key)

    # -- what goes out ------------------------------------------------------------

    def _appended(self, record: InboundRecord) -> None:
        if record.topic == self._settings.kafka.output_topic:
            self._clients.read(record)
            if conflict := read_conflict(record.headers):
                self._told(conflict)
            else:
                self._replied(record)
        elif record.topic.endswith(".dead_letter"):
            self._buried(record)

    def _told(self, conflict: Conflict) -> None:
        name, payload = conflict.identity.correlation_id, conflict.payload_hash
        self._world.note("kafka", "conflict", name, payload[:8])
        story = self.stories.get(name)
        payloads = set(story.payloads.values()) if story else set()
        if story is None or payload not in payloads:
            self.blame("I2 a conflict of no request", name)
        elif len(payloads) == 1:
            self.blame("a conflict with nothing", name)
        else:
            story.told.add(payload)

    def _replied(self, record: InboundRecord) -> None:
        data = json.loads(record.value or b"")
        name = data["correlation_id"]
        story = self.stories.get(name)
        if story is None:
            self.blame("I2 a reply to nobody", name)
            return
        code = (data["error"] or {}).get("code")
        origin = settled_by(record.headers) if code in OWN_REPLIES else None
        reply = Reply(
            self._world.now_ms,
            record.value or b"",
            data["id"],
            data["content"],
            code,
            origin,
        )
        self._world.note("kafka", "reply", name, reply.content or code, record.offset)
        self._check_reply(name, story, reply, record)
        story.replies.append(reply)
        self._strike_out(story)

    def _check_reply(
        self, name: str, story: Story, reply: Reply, record: InboundRecord
    ) -> None:
        asked = {one.label: dict(one.body) for one, _, _ in story.records}
        body = asked.get(reply.label)
        if body is None or record.headers.get("correlation_id") != name:
            self.blame("I3 the reply does not belong to its request", name)
        elif reply.content not in (None, answer_to(body["content"])):
            self.blame("I3 the reply answers another prompt", name)
        if record.headers.get(PAYLOAD_HASH) != story.payloads.get(reply.label):
            self.blame("I3 the reply does not name its payload", name)
        if reply.code == "POISON" and (body or {}).get("content") != POISON:
            self.blame("an innocent request is called poison", name)
        self._check_cancel(name, story, reply)
        if reply.code not in OWN_REPLIES and hash_value(reply.value) not in (
            story.stored
        ):
            self.blame("published before it was stored", name)
        # A refusal is no entry of the ledger: it answers one record, no identity.
        for other in story.replies:
            if other.settles != reply.settles or other.value == reply.value:
                continue
            if self._lost_since(story.records[0][2]):
                self.differing += 1
            else:
                self.blame("I4 two different replies", name)

    def _check_cancel(self, name: str, story: Story, reply: Reply) -> None:
        """What was cancelled in time gets no other answer, unless it came too late."""
        if not self._cancels.answered(_key(name)):
            return
        ttl_s = self._settings.limits.ttl_s
        due_ms = min(deadline_ms(one, at_ms, ttl_s) for one, _, at_ms in story.records)
        overdue = reply.code == "DEADLINE_EXCEEDED" and due_ms <= reply.at_ms
        if not overdue and reply.code not in IN_SPITE_OF_A_CANCEL:
            self.blame("a cancelled request is answered otherwise", name, reply.code)

    def _buried(self, record: InboundRecord) -> None:
        headers = record.headers
        at = RecordAt(
            headers["source_topic"],
            int(headers["source_partition"]),
            int(headers["source_offset"]),
        )
        self._world.note("kafka", "dead letter", headers["reason"], *_at(at))
        self.letters[at].append(Letter(self._world.now_ms, headers["reason"]))
        for story in self.stories.values():
            for submission, where, _ in story.records:
                if where == at:
                    self._check_letter(story, submission, headers["reason"])
                    self._strike_out(story)
                    return
        self.blame("I2 a dead letter of no record", *_at(at))

    def _check_letter(self, story: Story, submission: Submission, reason: str) -> None:
        payloads = {one.label for one, _, _ in story.records}
        expected = "CONFLICT" if len(payloads) > 1 else ""
        if submission.kind == "malformed":
            expected = "MALFORMED"
        elif reason == "CONFLICT":
            told = story.payloads[submission.label] in story.told
            waits = submission in self._clients.waiting(submission.correlation_id)
            if waits or not told:
                self.blame("a conflict is not told", submission.label)
        if reason != expected and not (reason == "POISON" and _is_poison(submission)):
            self.blame("a dead letter without a reason", submission.label, reason)

    def _committed(self, partition: Partition, offset: int) -> None:
        before = self._lowest.get(partition, 0)
        if offset < before:
            self.blame("I8 the watermark went back", partition, before, offset)
        self._lowest[partition] = max(before, offset)
        for at, submission in self.unanswered.items():
            ours = (at.topic, at.partition) == partition
            if ours and at.offset < offset:
                self.blame("I8 committed past an unanswered record", submission.label)

    # -- the ledger and the model -------------------------------------------------

    def _step(
        self, process: Process, step: str, arguments: tuple[Any, ...], answer: Any
    ) -> None:
        self._steps[step] += 1
        if see := self._sees.get(step):
            see(process, arguments, answer)

    def _saw_beat(self, process: Process, arguments: Any, answer: Any) -> None:
        del arguments
        if answer.pulse.epoch not in self._epochs_ms:
            self._world.note(process, "begins epoch", answer.pulse.epoch)
            self._epochs_ms[answer.pulse.epoch] = self._world.now_ms

    def _saw_admit(self, process: Process, arguments: Any, answer: Any) -> None:
        for admission, admitted in zip(arguments[1], answer, strict=True):
            name = admission.facts.correlation_id
            self._world.note(process, "admit", name, admitted.outcome.value)
            if admission.reply and admitted.outcome is AdmitOutcome.NEW:
                story = self._by_key[admission.facts.key]
                story.winners[self._era(arguments[0])].add(
                    ("reply", hash_value(admission.reply))
                )
                story.stored.add(hash_value(admission.reply))

    def _saw_plan(self, process: Process, arguments: Any, answer: Any) -> None:
        self._turns.planned(self._era(arguments[0]), arguments[1], answer)
        self._world.note(process, "plan", arguments[1].number, answer.outcome.value)

    def _saw_leave_worker(self, process: Process, arguments: Any, answer: Any) -> None:
        del process, answer
        self._turns.left(arguments[0])

    def _saw_beat_worker(self, process: Process, arguments: Any, answer: Any) -> None:
        del process, answer
        self._turns.came(arguments[0])

    def _saw_turn(self, process: Process, arguments: Any, answer: Any) -> None:
        epoch, turn = arguments
        for one, known in zip(turn.published, answer.published, strict=True):
            self._saw_published(process, (epoch, one.key), known)
        for one, won in zip(turn.completions, answer.completed, strict=True):
            self._completed(process, epoch, one.key, one.lease_id, one.reply, won)
        for one, done in zip(turn.hand_backs, answer.put_back, strict=True):
            self._saw_put_back(process, (epoch, one.key, one.lease_id), done)
        self._turns.done(self._era(epoch), turn, answer)
        for one in answer.taken:
            self._started(process, epoch, one)

    def _started(self, process: Process, epoch: str, one: Taken) -> None:
        name, lease_id = self._name(one.key), one.lease_id
        story = self._by_key[one.key]
        self._world.note(process, "takes", name, one.turn, one.model)
        place = (self._era(epoch), one.key, one.turn)
        if self._starts.setdefault(place, lease_id) != lease_id:
            self.blame("one turn of a request is started twice", name, one.turn)
        if story.lease is None or story.lease_id != lease_id:
            story.lease = self._leases.given(process, one.key, epoch)
            story.lease_id = lease_id
            if self._cancels.is_marked(one.key):
                self.blame("a cancelled request starts", name)

    def _saw_renew(self, process: Process, arguments: Any, answer: Any) -> None:
        _, leases, _ = arguments
        for key, renewed in answer.items():
            story = self._by_key[key]
            if renewed and story.lease and story.lease_id == leases[key]:
                story.lease.extended_ms = self._world.now_ms
            if not renewed:
                self._world.note(process, "not renewed", self._name(key))

    def _saw_expire(self, process: Process, arguments: Any, answer: Any) -> None:
        story = self._by_key[arguments[1]]
        self._world.note(process, "expire", self._name(arguments[1]), answer)
        if answer:
            story.expiries += 1
            if story.lease and not self._leases.excused(story.lease):
                self.blame("a lease ran out without a fault", self._name(arguments[1]))

    def _saw_put_back(self, process: Process, arguments: Any, answer: Any) -> None:
        _, key, lease_id, *_ = arguments
        self._world.note(process, "put back", self._name(key), answer)
        if answer:
            self._by_key[key].put_backs.add(lease_id)

    def _saw_complete(self, process: Process, arguments: Any, answer: Any) -> None:
        epoch, key, lease_id, reply, *_ = arguments
        self._completed(process, epoch, key, lease_id, reply, answer)

    def _completed(
        self,
        process: Process,
        epoch: str,
        key: str,
        lease_id: str | None,
        reply: bytes,
        won: bool,  # noqa: FBT001  (the answer of a step)
    ) -> None:
        self._world.note(process, "complete", self._name(key), won)
        if not won:
            return
        story = self._by_key[key]
        winner = ("lease", lease_id) if lease_id else ("reply", hash_value(reply))
        story.winners[self._era(epoch)].add(winner)
        if len(story.winners[self._era(epoch)]) > 1:
            self.blame("I6 two completes have won", self._name(key))
        story.stored.add(hash_value(reply))

    def _saw_published(self, process: Process, arguments: Any, answer: Any) -> None:
        name = self._name(arguments[1])
        self._world.note(process, "published", name, answer)
        if not self._by_key[arguments[1]].replies:
            self.blame("marked as published, and it is not in Kafka", name)

    def _saw_cancel(self, process: Process, arguments: Any, answer: Any) -> None:
        _, key, _ = arguments
        self._world.note(process, "cancel", self._name(key), answer)
        # What was stored before a loss may be on its way to Kafka.
        story = self._by_key.get(key)
        if story is None or not story.stored:
            self._cancels.marked(key, answer)

    def _saw_settle(self, process: Process, arguments: Any, answer: Any) -> None:
        _, source, offset = arguments
        topic, _, partition = source.split(":")
        at = RecordAt(topic, int(partition), offset)
        submission = self.unanswered.get(at)
        if submission and submission.kind == "cancel":
            self._world.note(process, "cancelled", submission.correlation_id, *_at(at))
            del self.unanswered[at]

    def _called(self, call: ServerCall) -> None:
        story = self.stories[str(call.request.correlation_id)]
        story.calls += 1
        lease = story.lease
        ours = lease is not None and lease.process is call.process
        self._call_leases[id(call)] = lease if ours else None
        if self._cancels.called(_key(str(call.request.correlation_id))):
            self.blame("a cancelled request is called", call.request.correlation_id)
        self._check_running(call)

    def _check_running(self, call: ServerCall) -> None:
        """No more calls with a lease than the capacity, and one at most of a request."""
        ours = [
            one
            for one in self._models.calls
            if (lease := self._call_leases.get(id(one))) and self._leases.holds(lease)
        ]
        model = self._settings.model(call.model)
        same = [one for one in ours if one.model == call.model]
        if model is None or len(same) > model.capacity:
            self.blame("more calls than the capacity", call.model, len(same))
        name = call.request.correlation_id
        twice = [one for one in ours if one.request.correlation_id == name]
        if len(twice) > 1:
            self.blame("two calls of one request at once", name)

    # -- the end ------------------------------------------------------------------

    def at_rest(self) -> bool:
        """Return whether everything is answered, committed and cleared away."""
        return not self.unanswered and not self.unrest()

    def unrest(self) -> list[str]:
        """Name what is left over."""
        left = [f"unanswered {one.label or one}" for one in self.unanswered.values()]
        for partition in self._group.partitions:
            records = self._kafka.log(partition).records
            if records and self._lowest.get(partition, 0) <= records[-1].offset:
                left.append(f"uncommitted {partition.topic}")
        book = self._redis.ledger._book
        left += [
            f"{entry.state} {entry.facts.correlation_id}"
            for entry in book._entries.values()
            if entry.state is not State.ANSWERED
        ]
        left += [f"slot {self._name(key)}" for key in book.held]
        left += [f"live {offset}" for _, offset in book.live]
        left += [f"call {one.request.correlation_id}" for one in self._models.calls]
        return left

    def judge(self) -> None:
        """Check what can be checked only when all is over."""
        self.violations += self._world.bugs
        for name, story in self.stories.items():
            self._judge_story(name, story)
        for at, letters in self.letters.items():
            since_ms = self._sent_ms[at]
            self._judge_count(
                f"dead letter {at.topic} {at.offset}", len(letters), 1, since_ms
            )

    def _judge_story(self, name: str, story: Story) -> None:
        # After a loss of Redis a reply may settle a record that came after it (L3).
        for submission in self._clients.waiting(name):
            if not self._lost_since(story.records[0][2]):
                self.blame("L2 a client waits in vain", name, submission.label)
        # Put back, Redis may run a request again before that is seen, and once after.
        lost = 2 * self._lost_since(story.records[0][2])
        most_calls = 1 + story.expiries + len(story.put_backs) + lost
        if story.calls > most_calls:
            self.blame("I7 more calls than crashes allow", name, story.calls)
        if len(story.replies) > 1:
            since_ms, allowed = story.records[0][2], len(story.records)
            if not story.calls:
                # Two workers that find it overdue take no lease: both may answer.
                allowed += self._redis.queues.doubled[name]
            self._judge_count(name, len(story.replies), allowed, since_ms)

    def _judge_count(self, name: str, count: int, allowed: int, since_ms: int) -> None:
        """I5: more than is asked for only where faults explain it."""
        struck = [one for one in self._world.troubles if one.end_ms >= since_ms]
        if count > allowed + len(struck):
            self.blame("I5 more duplicates than faults allow", name, count)

    def _era(self, epoch: str) -> str:
        """Name a time in which the ledger lost nothing."""
        return f"{epoch}/{self._redis.losses}"

    def _lost_since(self, since_ms: int) -> int:
        """Return how often Redis lost data since then, or it was seen only then."""
        losses = [
            one.start_ms
            for one in self._world.troubles
            if one.what.startswith(("redis emptied", "redis put"))
        ]
        return sum(self._seen_ms(lost_ms) >= since_ms for lost_ms in losses)

    def _seen_ms(self, lost_ms: int) -> float:
        """Return when a loss led to another epoch."""
        later = [at_ms for at_ms in self._epochs_ms.values() if at_ms >= lost_ms]
        return min(later, default=inf)

    def _name(self, key: str) -> str:
        story = self._by_key.get(key)
        return story.records[0][0].correlation_id if story else key[:8]


def _key(name: str) -> str:
    return Identity(AGENT, name).key


def _is_poison(submission: Submission) -> bool:
    return dict(submission.body).get("content") == POISON


def _at(at: RecordAt) -> tuple[str, int]:
    return at.topic, at.offset
