"""What the ledger keeps of partitions: done and live offsets, on every adapter."""

import pytest

from agentsched.ledger.answered_offsets import BLOCK_OFFSETS
from tests.support.ledgers import SOURCE, World

END = 10 * BLOCK_OFFSETS


def _done(world: World, watermark: int = 0, end: int = END) -> set[int]:
    return world.done_offsets(SOURCE, watermark, end)


def _live(world: World, watermark: int = 0, end: int = END) -> dict[int, str]:
    return world.ledger.partition(world.epoch, SOURCE, watermark, end).live


@pytest.mark.parametrize("way", ["ready", "running", "done"])
def test_an_admitted_offset_is_live_until_it_is_answered(world: World, way: str):
    key = getattr(world, way)(offset=41)
    assert _live(world) == {41: key}
    assert _done(world) == set()


def test_an_answered_offset_is_done_and_no_longer_live(world: World):
    world.answered(offset=41)
    assert (_live(world), _done(world)) == ({}, {41})


def test_a_repeated_published_has_the_same_answer(world: World):
    key = world.answered(offset=41)
    assert world.publish(key)
    assert _done(world) == {41}


def test_attached_offsets_are_live_with_the_same_key(world: World):
    key = world.ready(offset=5)
    world.admit(world.admission(key=key, offset=9))
    assert _live(world) == {5: key, 9: key}


def test_a_settled_offset_is_done_without_an_entry(world: World):
    world.ledger.settle(world.epoch, SOURCE, 7)
    world.ledger.settle(world.epoch, SOURCE, 7)
    assert _done(world) == {7}


def test_sources_do_not_mix(world: World):
    world.ledger.settle(world.epoch, "high_priority:T2:0", 7)
    world.ready(source="high_priority:T1:1", offset=8)
    assert (_live(world), _done(world)) == ({}, set())


def test_a_partition_is_read_from_the_watermark_to_before_the_end(world: World):
    for offset in (9, 10, 19, 20):
        world.ledger.settle(world.epoch, SOURCE, offset)
        world.ready(offset=offset)
    assert _done(world, 10, 20) == {10, 19}
    assert set(_live(world, 10, 20)) == {10, 19}


def test_done_offsets_are_found_on_both_sides_of_a_block_border(world: World):
    around = {BLOCK_OFFSETS - 1, BLOCK_OFFSETS, 3 * BLOCK_OFFSETS, 5}
    for offset in around:
        world.ledger.settle(world.epoch, SOURCE, offset)
    assert _done(world) == around
    assert _done(world, 6, 3 * BLOCK_OFFSETS) == {BLOCK_OFFSETS - 1, BLOCK_OFFSETS}


def test_offsets_beyond_32_bits_are_kept(world: World):
    offset = 2**40 + 12_345
    world.ready(offset=offset)
    world.ledger.settle(world.epoch, SOURCE, offset + 1)
    assert set(_live(world, offset, offset + 10)) == {offset}
    assert _done(world, offset, offset + 10) == {offset + 1}


def test_blocks_below_the_watermark_are_forgotten(world: World):
    for offset in (3, BLOCK_OFFSETS + 3, 2 * BLOCK_OFFSETS + 3):
        world.ledger.settle(world.epoch, SOURCE, offset)
    world.ledger.forget_done(world.epoch, SOURCE, 2 * BLOCK_OFFSETS)
    assert _done(world) == {2 * BLOCK_OFFSETS + 3}


def test_a_block_that_the_watermark_is_in_stays(world: World):
    world.ledger.settle(world.epoch, SOURCE, 3)
    world.ledger.forget_done(world.epoch, SOURCE, BLOCK_OFFSETS - 1)
    assert _done(world) == {3}


def test_forgetting_one_source_keeps_another(world: World):
    world.ledger.settle(world.epoch, SOURCE, 3)
    world.ledger.forget_done(world.epoch, "high_priority:T2:0", BLOCK_OFFSETS)
    assert _done(world) == {3}


def test_restored_offsets_are_done_beside_those_that_were(world: World):
    world.ledger.settle(world.epoch, SOURCE, 7)
    runs = [range(3), range(6, 20), range(BLOCK_OFFSETS - 2, 2 * BLOCK_OFFSETS + 1)]
    world.ledger.restore_done(world.epoch, SOURCE, runs)
    assert _done(world) == {offset for run in runs for offset in run}
    assert _done(world, 2 * BLOCK_OFFSETS) == {2 * BLOCK_OFFSETS}


def test_answered_offsets_that_follow_each_other_are_one_run(world: World):
    for offset in (3, 5, 4, BLOCK_OFFSETS, BLOCK_OFFSETS - 1):
        world.ledger.settle(world.epoch, SOURCE, offset)
    view = world.ledger.partition(world.epoch, SOURCE, 0, END)
    assert view.done == (range(3, 6), range(BLOCK_OFFSETS - 1, BLOCK_OFFSETS + 1))


def test_the_watermark_that_was_told_last_is_known(world: World):
    assert world.ledger.partition(world.epoch, SOURCE, 0, END).watermark == 0
    for watermark in (5, 9):
        world.ledger.forget_done(world.epoch, SOURCE, watermark)
    assert world.ledger.partition(world.epoch, SOURCE, 0, END).watermark == 9
    other = world.ledger.partition(world.epoch, "high_priority:T2:0", 0, END)
    assert other.watermark == 0


@pytest.mark.parametrize("way", ["ready", "running", "done", "crashed"])
def test_what_is_answered_and_came_back_is_forgotten_below_the_watermark(
    world: World, way: str
):
    """A Redis that was put back unseen believes it to be open."""
    key = getattr(world, way)(offset=41)
    other = "high_priority:T2:0"
    world.admit(world.admission(key=key, source=other, offset=7))
    kept = world.ready(offset=42)
    world.ledger.forget_answered(world.epoch, SOURCE, [range(42)])
    assert world.view(key) is None
    assert _live(world) == {42: kept}
    assert world.ledger.partition(world.epoch, other, 0, END).live == {}
    assert [each.facts.key for each in world.ledger.snapshot(world.epoch).ready] == [
        kept
    ]


def test_what_is_answered_and_came_back_is_forgotten_in_each_run(world: World):
    kept = [world.ready(offset=offset) for offset in (30, 50)]
    gone = [world.ready(offset=offset) for offset in (41, 42, 51)]
    runs = [range(20), range(41, 43), range(51, 60)]
    world.ledger.forget_answered(world.epoch, SOURCE, runs)
    assert _live(world) == dict(zip((30, 50), kept, strict=True))
    assert [world.view(key) for key in gone] == [None] * 3


def test_the_slot_of_a_call_that_came_back_is_free_when_the_call_ends(world: World):
    key = world.running(offset=41)
    world.ledger.forget_answered(world.epoch, SOURCE, [range(42)])
    assert world.in_flight() == 1
    assert not world.complete(key, "L1")
    assert world.in_flight() == 0
