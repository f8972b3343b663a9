"""Answered offsets as runs and as bitmap blocks."""

from hypothesis import given
from hypothesis import strategies as st

from agentsched.ledger.answered_offsets import (
    BLOCK_OFFSETS,
    decode_blocks,
    encode_blocks,
    runs_of,
    within,
)

OFFSETS = st.sets(
    st.integers(0, 40) | st.integers(BLOCK_OFFSETS - 20, 2**17), max_size=60
)


def test_bits_are_offsets_with_the_first_in_the_highest_bit():
    found = decode_blocks([(2, b"\x81\x00\x40")])
    assert found == [range(131_072 + at, 131_073 + at) for at in (0, 7, 17)]


@given(OFFSETS)
def test_offsets_come_back_from_blocks_as_they_were(offsets: set[int]):
    runs = runs_of(sorted(offsets))
    blocks = encode_blocks(runs)
    assert decode_blocks(sorted(blocks.items())) == runs
    assert {offset for run in runs for offset in run} == offsets


def test_a_long_run_fills_the_blocks_that_it_crosses():
    run = range(BLOCK_OFFSETS - 3, 3 * BLOCK_OFFSETS + 11)
    assert decode_blocks(sorted(encode_blocks([run]).items())) == [run]


def test_runs_are_cut_at_the_borders():
    assert within([range(5), range(7, 9), range(12, 20)], 3, 14) == [
        range(3, 5),
        range(7, 9),
        range(12, 14),
    ]
