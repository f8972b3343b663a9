"""Fixtures of the bridge's tests."""

import pytest

from tests.unit.bridge.effects_rig import Rig


@pytest.fixture
def rig():
    """Effects whose epoch is open, with the dispatcher lease."""
    return Rig().open()
