"""A member of a bridge's consumer group, for tests: it keeps what its source told."""

from agentsched.kafka.group.request_source import RequestSource
from tests.support.waiting import eventually


class Member:
    """A source, and what it told."""

    def __init__(self, settings):
        self.assigned, self.revoked, self.lost = [], [], []
        self.refused, self.deleted = [], []
        self.committed = {}
        self.records = []
        self.commit_at_revoke = {}
        self.on_assigned, self.on_lost = self.assigned.extend, self.lost.extend
        self.on_committed = self.committed.update
        self.on_commit_refused = self.refused.append
        self.source = RequestSource(settings, self)

    def on_revoked(self, partitions):
        self.revoked.extend(partitions)
        return self.commit_at_revoke

    def on_deleted(self, partition, start):
        self.deleted.append((partition, start))

    def poll(self, seconds=0.1):
        self.records.extend(self.source.poll(100, seconds))
        return self.records

    def offsets(self, partition=0):
        return [each.offset for each in self.records if each.partition == partition]

    def until_read(self, count):
        """Poll until it has so many records, over all partitions."""
        eventually(
            lambda: len(self.poll()) >= count,
            timeout_s=20,
            message=f"{count} records expected",
        )


def until_assigned(*members, count=1):
    """Poll until every member owns `count` partitions."""

    def owned():
        for member in members:
            member.poll()
        return all(len(member.source.owned) == count for member in members)

    eventually(owned, timeout_s=30, message="the partitions were not handed out")
