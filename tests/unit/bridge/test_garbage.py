"""Garbage collection of a bridge process."""

import gc

import pytest

from bridge import garbage


@pytest.fixture(autouse=True)
def _as_before():
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_is_there_is_left_out_and_the_rest_is_looked_at_seldom():
    before = gc.get_freeze_count()
    garbage.freeze()
    assert gc.get_freeze_count() > before + 1_000
    assert gc.get_threshold() == (garbage.YOUNG, garbage.MIDDLE, garbage.OLD)
