"""What a bridge that does not lead reads of the change log, on every adapter."""

from tests.support.ledgers import GPT, SOURCE, World


def test_only_who_leads_reads_entries_and_slots(world: World):
    cursor = world.cursor()
    world.beat()
    key = world.ready()
    world.plan(key)
    world.turn("L1")
    world.complete(key, "L1")
    world.publish(key)
    end, detailed = world.ledger.changes(world.epoch, cursor, 0)
    told = {one.kind: one for one in detailed}
    assert told["ready"].ready.facts.key == key
    assert told["taken"].slot.model == GPT
    same_end, brief = world.ledger.changes(
        world.epoch, cursor, 0, detailed=lambda: False
    )
    assert same_end == end
    assert [(one.kind, one.at, one.key) for one in brief] == [
        (one.kind, one.at, one.key) for one in detailed
    ]
    assert not any(one.ready or one.slot for one in brief)
    (settled,) = [one for one in brief if one.kind == "settled"]
    assert (settled.source, settled.offset) == (SOURCE, told["settled"].offset)


def test_whether_they_are_needed_is_asked_when_there_is_something(world: World):
    """Who begins to lead while a read waits misses nothing after its snapshot."""
    asked = []

    def detailed():
        asked.append(world.kinds_since(cursor))
        return True

    cursor = world.cursor()
    world.ready()
    world.ledger.changes(world.epoch, cursor, 0, detailed=detailed)
    assert asked == [["ready"]]
