"""Whatever a caller hands over, the process lives and the error is clear.

In row I of the cases that users of other products reported, a header's name ended the
caller's process. So all of it runs in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.arguments import ACCEPTED, CASES, REFUSED, SECRET

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def outcomes():
    """What came of each: the kinds of its error, and the text."""
    program = subprocess.run(
        [sys.executable, "-m", "tests.support.arguments", *CASES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    lines = [line.split("\t") for line in program.stdout.splitlines()]
    assert program.returncode == 0, f"it ended after {lines[-1:]}: {program.stderr}"
    return {name: (kinds.split(","), text) for name, kinds, text in lines}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_sent_is_refused_with_a_typed_error(outcomes, name):
    kinds, text = outcomes[name]
    assert "AgentSchedError" in kinds
    assert {"ValueError", "KafkaException"} & set(kinds)
    assert text
    assert SECRET not in text
    text.encode()  # it can be logged


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_looks_odd_and_is_good_is_taken(outcomes, name):
    assert outcomes[name] == (["accepted"], "")
