"""Kafka: logs with gaps, and a group whose members come and go; it forgets nothing."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from agentsched.errors import DeliveryFailed
from agentsched.wire.commit_state import decode_commit_state
from agentsched.wire.epoch import NO_EPOCH, EpochCounter
from agentsched.wire.records import (
    InboundRecord,
    Mark,
    OutboundRecord,
    Partition,
    RecordAt,
)
from agentsched.wire.source_record import settled_by
from tests.simulation.world import Process, World

SESSION_MS = 3_000
CLOCKS_MS = 100
"""How far the clocks of two brokers may be apart."""
GAP_RATIO = 0.15
"""How often an offset is left out, as transactions and compaction do."""


@dataclass(slots=True)
class Log:
    """One partition."""

    records: list[InboundRecord] = field(default_factory=list)
    end: int = 0
    """The next offset."""


class SimKafka:
    """The broker: appends and reads; the group is in `Group`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.logs: dict[Partition, Log] = {}
        self.appended: list[Callable[[InboundRecord], None]] = []
        """Told of every record that was appended."""
        self.fetched: list[Callable[[InboundRecord], None]] = []
        """Told of every record that a bridge reads."""

    def log(self, partition: Partition) -> Log:
        """Return a partition; it is made at its first use."""
        if partition not in self.logs:
            self.logs[partition] = Log()
        return self.logs[partition]

    def append(self, record: OutboundRecord, partition: int = 0) -> RecordAt:
        """Write a record; it is acknowledged when this returns."""
        log = self.log(Partition(record.topic, partition))
        if self.world.rng.random() < GAP_RATIO:
            log.end += self.world.rng.randrange(1, 4)
        at = RecordAt(record.topic, partition, log.end)
        log.end += 1
        written = InboundRecord(
            topic=record.topic,
            partition=partition,
            offset=at.offset,
            timestamp_ms=self.world.now_ms,
            value=record.value,
            headers=record.headers,
            written_after_ms=self.world.now_ms,
        )
        log.records.append(written)
        for tell in self.appended:
            tell(written)
        return at

    def read_back(self, at: RecordAt) -> InboundRecord | None:
        """Read one record at its coordinates."""
        self.world.boundary(10)
        records = self.log(Partition(at.topic, at.partition)).records
        return next((one for one in records if one.offset == at.offset), None)

    def look_up(
        self,
        topics: Collection[str],
        wanted: Mapping[str, range],
        since_ms: int,
        stopped: Callable[[], bool],
    ) -> dict[str, set[int]]:
        """Find which offsets have an answer, up to the ends that the logs have now."""
        logs = self.logs.items()
        ends = {where: log.end for where, log in logs if where.topic in topics}
        found: dict[str, set[int]] = {}
        for where, end in ends.items():
            self.world.boundary(200)
            if stopped():
                raise DeliveryFailed("simulated: this process ends")
            for record in self.log(where).records:
                if record.offset >= end or record.timestamp_ms < since_ms - CLOCKS_MS:
                    continue
                origin = settled_by(record.headers)
                if origin and origin.offset in wanted.get(origin.source, ()):
                    found.setdefault(origin.source, set()).add(origin.offset)
        return found


class Member:
    """One consumer of the group, as the coordinator sees it."""

    def __init__(self, process: Process, wake: Callable[[], None]) -> None:
        self.process = process
        self.wake = wake
        self.known = True
        """False: it was silent for too long, or has left."""
        self.generation = 0
        """How often it has joined: a commit of an earlier time is refused."""


class Group:
    """The coordinator: who owns what, and what is committed.

    Cooperative: a partition moves when its owner has given it up, or was silent for a
    session time-out.
    """

    def __init__(self, kafka: SimKafka, partitions: list[Partition]) -> None:
        self._kafka = kafka
        self._world = kafka.world
        self.partitions = partitions
        self.members: list[Member] = []
        self.owner: dict[Partition, Member] = {}
        self.target: dict[Partition, Member] = {}
        self.committed: dict[Partition, Mark] = {}
        self.commits: list[Callable[[Partition, int], None]] = []
        """Told of every commit that was accepted."""
        self._world.deaths.append(self._silent)
        self._world.pauses.append(self._silent)
        kafka.appended.append(self._tell_owner)

    def join(self, member: Member) -> None:
        """Take a member in."""
        member.known = True
        member.generation += 1
        self.members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        """Let a member go; what it owned is free."""
        member.known = False
        if member in self.members:
            self.members.remove(member)
        for partition, owner in list(self.owner.items()):
            if owner is member:
                del self.owner[partition]
        self.rebalance()

    def rebalance(self) -> None:
        """Spread the partitions anew, at random."""
        self.target = {}
        if not self.members:
            return
        first = self._world.rng.randrange(len(self.members))
        for number, partition in enumerate(self.partitions):
            member = self.members[(first + number) % len(self.members)]
            self.target[partition] = member
        self._world.trouble(None, "rebalance")
        self._world.note("kafka", "assigns", *self._who())
        for member in self.members:
            member.wake()

    def commit(
        self, member: Member, generation: int, partition: Partition, mark: Mark
    ) -> bool:
        """Commit for the owner; refused for everybody else."""
        ours = member.known and member.generation == generation
        if not ours or self.owner.get(partition) is not member:
            self._world.note(member.process, "commit refused", partition, mark.offset)
            return False
        self.committed[partition] = mark
        self._world.note(member.process, "committed", partition, mark.offset)
        for tell in self.commits:
            tell(partition, mark.offset)
        return True

    def known_pulse(self) -> EpochCounter:
        """Return the highest pulse of the ledger that was committed."""
        self._world.boundary(20)
        notes = (
            decode_commit_state(mark.metadata, mark.offset)
            for mark in self.committed.values()
        )
        return max((note.pulse for note in notes if note), default=NO_EPOCH)

    def _silent(self, process: Process) -> None:
        for member in self.members:
            if member.process is process:
                self._world.after(SESSION_MS, self._give_up, member)

    def _give_up(self, member: Member) -> None:
        process = member.process
        late = process.alive and process.paused_until_ms <= self._world.now_ms
        if member.known and not late:
            self._world.trouble(process, "session over")
            self.leave(member)

    def _tell_owner(self, record: InboundRecord) -> None:
        owner = self.owner.get(Partition(record.topic, record.partition))
        if owner is not None:
            owner.wake()

    def _who(self) -> list[str]:
        return [f"{p.topic}:{m.process}" for p, m in self.target.items()]
