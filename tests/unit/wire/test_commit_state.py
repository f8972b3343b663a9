"""What is committed beside a watermark, written and read."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsched.ledger.answered_offsets import runs_of
from agentsched.wire.commit_state import (
    MAX_CHARACTERS,
    CommitState,
    decode_commit_state,
    encode_commit_state,
)
from agentsched.wire.epoch import NO_EPOCH, EpochCounter

PULSE = EpochCounter("0000000733fae4cc98c7d2ab", 86_400)
NOTE = CommitState(PULSE, "QeVnbJ-5TX6oGYPbEXAMPLE", clean=True)


@given(
    st.integers(0, 2**50),
    st.sets(st.integers(1, 3_000), max_size=200),
    st.booleans(),
)
def test_a_note_comes_back_as_it_was(watermark: int, above: set[int], clean: bool):  # noqa: FBT001
    done = tuple(runs_of(sorted(watermark + offset for offset in above)))
    note = CommitState(PULSE, "T", clean, done)
    assert decode_commit_state(encode_commit_state(note, watermark), watermark) == note


def test_a_note_without_done_offsets_is_short():
    assert len(encode_commit_state(NOTE, 10**12)) < 120


def scattered(count: int) -> tuple[range, ...]:
    """Runs and gaps of 1 to 40 offsets: what packs badly."""
    lengths, at, runs = random.Random(7), 100, []
    for _ in range(count):
        at += lengths.randint(1, 40)
        runs.append(range(at, at := at + lengths.randint(1, 40)))
    return tuple(runs)


@pytest.mark.parametrize("most", [MAX_CHARACTERS, 500])
def test_what_does_not_fit_is_left_out_from_the_end(most: int):
    note = CommitState(PULSE, "T", done=scattered(30_000))
    text = encode_commit_state(note, 100, most)
    read = decode_commit_state(text, 100)
    assert read is not None
    assert most * 0.9 < len(text) <= most
    assert read.done == note.done[: len(read.done)]
    assert (read.pulse, read.topic_id) == (PULSE, "T")


def test_a_thousand_scattered_runs_fit():
    note = CommitState(PULSE, "T", done=scattered(1_200))
    assert decode_commit_state(encode_commit_state(note, 100), 100) == note


def test_a_long_regular_backlog_fits():
    done = tuple(range(at, at + 1) for at in range(1, 10_000, 2))
    assert (
        decode_commit_state(
            encode_commit_state(CommitState(PULSE, done=done), 0), 0
        ).done
        == done
    )


def test_a_limit_that_is_too_small_still_leaves_the_pulse():
    text = encode_commit_state(CommitState(PULSE, "T", done=scattered(50)), 100, 20)
    assert decode_commit_state(text, 100) == CommitState(PULSE, "T")


@pytest.mark.parametrize("text", ["", "of another tool"])
def test_what_is_not_ours_is_no_note(text: str):
    assert decode_commit_state(text, 0) is None


@pytest.mark.parametrize(
    "text", ["agentsched:99:xyz", "agentsched:1:%%%", "agentsched:"]
)
def test_a_note_that_cannot_be_read_says_nothing_for_sure(text: str):
    assert decode_commit_state(text, 0) == CommitState(NO_EPOCH)
