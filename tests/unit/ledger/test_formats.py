"""Every persisted format against its literal samples: read, written, refused.

The keys of the ledger as a whole: tests/contracts/test_ledger_formats.py.
"""

import re
from pathlib import Path

import pytest

from agentsched.wire.codec import (
    Identity,
    cancel_record,
    decode_cancel,
    hash_value,
    is_cancel,
)
from agentsched.wire.records import InboundRecord
from tests.golden.samples import DOORBELL, FORMATS, Format

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/formats.md").read_text("utf-8")
ROW = re.compile(
    r"^\| ([\w -]+) \| [^|]+ \| (\d+) \| ([\d, ]+) \|.*\| `([^`]+)` \|$", re.MULTILINE
)
SAMPLES = [(one, version) for one in FORMATS for version in one.samples]
each_format = pytest.mark.parametrize("one", FORMATS, ids=lambda one: one.name)


@pytest.mark.parametrize(
    ("one", "version"), SAMPLES, ids=[f"{one.name} {n}" for one, n in SAMPLES]
)
def test_every_sample_is_read(one: Format, version: int):
    assert one.read(one.samples[version]) == one.values[version], (
        f"{one.name} of version {version} must still be read: processes of that version"
        " have written it"
    )


@each_format
def test_what_is_written_is_the_sample(one: Format):
    written = one.write(one.values[one.version])
    assert one.comparable(written) == one.comparable(one.samples[one.version]), (
        f"the format of {one.name} has changed, and its version has not: raise the"
        f" version in {one.stands_in}, read both, and keep this sample as the one of the"
        " version before (tests/golden/README.md)"
    )


@each_format
def test_there_is_a_sample_of_the_version_that_is_written(one: Format):
    assert one.version == max(one.samples), (
        f"add a sample of {one.name} of version {one.version} in"
        " tests/golden/samples.py, and leave the others as they are"
    )


@each_format
def test_one_of_the_next_version_is_refused(one: Format):
    newer = one.newer(one.samples[one.version])
    assert newer != one.samples[one.version]
    if isinstance(one.refusal, type):
        with pytest.raises(one.refusal, match=one.fix):
            one.read(newer)
    else:
        assert one.read(newer) == one.refusal


@each_format
def test_the_page_of_formats_says_what_the_code_does(one: Format):
    rows = {name: more for name, *more in ROW.findall(PAGE)}
    version, read, where = rows[one.name]
    assert (int(version), where) == (one.version, one.stands_in)
    assert {int(number) for number in read.split(",")} == one.samples.keys() - {0}
    assert (ROOT / where).exists()


# -- what other formats are made of: it has no version, because it must never change ------


def test_the_key_of_a_request_stays_the_same():
    assert Identity("planner", "c-1").key == "aa49ad9443b731f4c9cfe46cde857a8d"


def test_the_hash_of_a_payload_stays_the_same():
    assert hash_value(b'{"content":"hello"}') == "ed13a0ab7d41db0d9f50c28f628a470a"


def test_the_task_id_of_a_ring_stays_the_same():
    assert DOORBELL.values[1].task_id == "241cdec1-0f6b-5817-9f6b-8721244751b7"


CANCEL = b'{"agent_id":"planner","correlation_id":"c-1"}'
CANCEL_HEADERS = {"kind": "cancel", "agent_id": "planner", "correlation_id": "c-1"}


def test_a_cancel_record_stays_the_same():
    record = cancel_record(Identity("planner", "c-1"), "high_priority")
    assert (record.value, dict(record.headers)) == (CANCEL, CANCEL_HEADERS)


@pytest.mark.parametrize("value", [CANCEL, None])
def test_a_cancel_record_is_read(value: bytes | None):
    record = InboundRecord("high_priority", 0, 1, 1, value, CANCEL_HEADERS)
    assert is_cancel(record)
    assert decode_cancel(record, 1_000) == Identity("planner", "c-1")
