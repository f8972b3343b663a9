"""Which record a reply or dead letter answers, written and read."""

import pytest

from agentsched.errors import ErrorCode
from agentsched.wire.source_record import SourceRecord, settled_by

ORIGIN = SourceRecord("high_priority", "Tid", 3, 2**40)


def test_an_origin_comes_back_from_its_headers():
    assert settled_by({"correlation_id": "c"} | ORIGIN.headers()) == ORIGIN


def test_an_origin_comes_back_from_the_ledgers_name():
    assert SourceRecord.of(ORIGIN.source, ORIGIN.offset) == ORIGIN
    assert ORIGIN.source == "high_priority:Tid:3"


@pytest.mark.parametrize(
    ("headers", "settles"),
    [
        ({}, True),
        ({"reason": "MALFORMED"}, True),
        ({"reason": "CONFLICT", "kind": "chunk"}, True),
        ({"reason": ErrorCode.POISON}, False),  # there is a reply, too
        ({"kind": "chunk"}, False),
        ({"kind": "conflict"}, False),  # its dead letter follows
        ({"agentsched_version": "3"}, False),
        ({"source_offset": "x"}, False),
    ],
)
def test_what_settles_a_record(headers: dict[str, str], settles: bool):  # noqa: FBT001
    assert (settled_by(ORIGIN.headers() | headers) is not None) is settles


def test_a_record_of_somebody_else_settles_nothing():
    assert settled_by({"source_topic": "t", "source_partition": "0"}) is None
