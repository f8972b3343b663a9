"""What a bridge reads with: `RequestSource` over the simulated group."""

from collections import deque
from collections.abc import Mapping, Sequence

from agentsched.kafka.group.assignment import AssignedPartition, PartitionOwner
from agentsched.wire.records import InboundRecord, Mark, Partition
from tests.simulation.kafka import Group, Member, SimKafka
from tests.simulation.world import Process, Ticket, World

MAX_IDLE_MS = 300
"""A poll that finds nothing may take so long: orders come late, too."""
MAX_COMMIT_MS = 30


class SimSource:
    """One member of the group; the callbacks run inside `poll` and `close`."""

    def __init__(
        self,
        world: World,
        kafka: SimKafka,
        group: Group,
        process: Process,
        owner: PartitionOwner,
    ) -> None:
        self._world = world
        self._kafka = kafka
        self._group = group
        self._process = process
        self._owner = owner
        self._member = Member(process, self.wake)
        self._next: dict[Partition, int] = {}
        """Owned partitions, and the offset that is read next."""
        self._paused: set[Partition] = set()
        self._wire: deque[tuple[int, Partition, Mark, str]] = deque()
        self._acks: list[tuple[Partition, int]] = []
        self._ticket: Ticket | None = None
        self.failures: list[str] = []
        """What happens to the next commits: `refused` or `lost`."""

    @property
    def joined(self) -> bool:
        return self._member.known

    def wake(self) -> None:
        """Something came: an idle poll ends."""
        if self._ticket is not None:
            self._world.wake(self._ticket)
            self._ticket = None

    def subscribe(self, topics: Sequence[str]) -> None:
        del topics
        self._world.boundary()
        self._group.join(self._member)

    def poll(self, max_records: int, timeout_s: float) -> list[InboundRecord]:
        self._world.boundary()
        self._call_back()
        records = self._fetch(max_records)
        if not records and timeout_s > 0:
            self._ticket = self._world.ticket()
            self._world.park(50 + int(self._world.rng.random() * MAX_IDLE_MS))
            self._ticket = None
            self._world.boundary()
            records = self._fetch(max_records)
        return records

    def commit(self, marks: Mapping[Partition, Mark]) -> None:
        self._world.boundary()
        for partition, mark in marks.items():
            if partition in self._next:
                failure = self.failures.pop(0) if self.failures else ""
                late_ms = int(self._world.rng.random() * MAX_COMMIT_MS)
                self._wire.append((self._member.generation, partition, mark, failure))
                self._world.after(late_ms, self._arrive)

    def pause(self, partitions: Sequence[Partition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[Partition]) -> None:
        self._paused.difference_update(partitions)

    def close(self) -> None:
        self._world.boundary()
        if self._member.known:
            self._revoke(list(self._next))
            self._group.leave(self._member)
        else:
            self._lose(list(self._next))

    def kick(self) -> None:
        """The coordinator takes this member for dead."""
        if self._member.known:
            self._world.trouble(self._process, "session over")
            self._group.leave(self._member)

    # -- within -------------------------------------------------------------------

    def _call_back(self) -> None:
        if not self._member.known:
            self._lose(list(self._next))
            self._group.join(self._member)
        target = self._group.target
        gone = [one for one in self._next if target.get(one) is not self._member]
        if gone:
            self._revoke(gone)
        for partition in self._group.partitions:
            free = partition not in self._group.owner
            if free and self._group.target.get(partition) is self._member:
                self._take(partition)
        acks, self._acks = self._acks, []
        for partition, offset in acks:
            if partition in self._next:
                self._owner.on_committed({partition: offset})

    def _take(self, partition: Partition) -> None:
        self._group.owner[partition] = self._member
        log = self._kafka.log(partition)
        mark = self._group.committed.get(partition)
        committed, metadata = mark or (None, "")
        assigned = AssignedPartition(partition, "T", committed, 0, log.end, metadata)
        self._world.note(self._process, "assigned", partition, assigned.start)
        self._next[partition] = assigned.start
        self._paused.discard(partition)
        self._world.boundary(20)
        self._owner.on_assigned([assigned])

    def _revoke(self, partitions: list[Partition]) -> None:
        if not partitions:
            return
        generation = self._member.generation
        marks = self._owner.on_revoked(partitions)
        self._world.boundary()
        while self._wire:  # one connection: what was sent before is there before
            self._arrive()
        for partition in partitions:
            if partition in marks:
                self._group.commit(
                    self._member, generation, partition, marks[partition]
                )
        self._world.boundary()
        for partition in partitions:
            self._next.pop(partition, None)
            if self._group.owner.get(partition) is self._member:
                del self._group.owner[partition]
        for member in self._group.members:
            member.wake()

    def _lose(self, partitions: list[Partition]) -> None:
        if partitions:
            self._world.note(self._process, "lost", *partitions)
            self._next.clear()
            self._owner.on_lost(partitions)

    def _fetch(self, max_records: int) -> list[InboundRecord]:
        found: list[InboundRecord] = []
        for partition, first in self._next.items():
            log = self._kafka.log(partition)
            if partition in self._paused or first >= log.end:
                continue
            most = min(max_records, self._world.rng.randrange(1, 20))
            new = [one for one in log.records if one.offset >= first][:most]
            self._next[partition] = new[-1].offset + 1 if new else log.end
            found += new
        for record in found:
            for tell in self._kafka.fetched:
                tell(record)
        return found

    def _arrive(self, _: object = None) -> None:
        if not self._wire:
            return
        generation, partition, mark, failure = self._wire.popleft()
        if failure == "refused":
            return
        done = self._group.commit(self._member, generation, partition, mark)
        if done and failure != "lost":
            self._acks.append((partition, mark.offset))
            self.wake()
