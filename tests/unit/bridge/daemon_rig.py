"""The real loop on real effects, with a Kafka that plays a script whenever it would sleep."""

from queue import Empty

from agentsched.kafka.group.assignment import AssignedPartition
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import Partition
from bridge.daemon import Daemon

PLACE = Partition("medium_priority", 0)


class Inbox:
    """The loop's inbox: where it would sleep, `turn` is called."""

    def __init__(self, inbox, turn):
        self._inbox, self._turn = inbox, turn
        self.put, self.qsize = inbox.put, inbox.qsize

    def get(self, timeout):
        try:
            return self._inbox.get_nowait()
        except Empty:
            if timeout > 0:
                self._turn()
            return self._inbox.get_nowait()


class Kafka:
    """Stands for the Kafka thread: one partition; commits are acknowledged at once."""

    joined = True
    closed = False

    def __init__(self, daemon, records):
        self._daemon, self._records = daemon, records
        self.committed = {}

    def subscribe(self, topics):
        assert PLACE.topic in topics
        one = AssignedPartition(PLACE, "t1", None, 0, self._records)
        self._daemon.on_assigned([one])

    def commit(self, marks):
        self.committed |= {where: mark.offset for where, mark in marks.items()}
        self._daemon.on_committed(self.committed)

    def pause(self, partitions):
        pass

    def close(self):
        self.commit(self._daemon.on_revoked([PLACE]))
        self.closed = True


class Reader:
    """Hears of nothing: the test puts changes into the inbox."""

    def start(self, epoch, cursor):
        pass

    def switch(self, epoch):
        pass

    def stop(self):
        pass


def build(rig, rules, script, *, step_ms=1, records=10, observer=None):
    """Return a daemon and its Kafka.

    What `script` holds is called where the loop would sleep, each with the daemon and
    after `step_ms`; then the loop is ended.
    """
    left = list(script)

    def turn():
        rig.now_ms += step_ms
        if left:
            left.pop(0)(daemon)
        else:
            daemon.stop()

    made = []

    def make_kafka(daemon):
        made.append(Kafka(daemon, records))
        return made[0]

    daemon = Daemon(
        rules=rules,
        effects=rig.effects,
        make_source=make_kafka,
        reader=Reader(),
        now_ms=lambda: rig.now_ms,
        known_pulse=lambda: NO_EPOCH,
        inbox=Inbox(rig.inbox, turn),
        observer=observer,
    )
    return daemon, made[0]
