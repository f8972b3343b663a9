"""What an index keeps of a record is the whole record."""

from hypothesis import given
from hypothesis import strategies as st

from agentsched.wire.records import Headers, InboundRecord
from bridge.core.envelope import pack, unpack

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.sampled_from(["c1", "id-ü"])
BYTES = st.one_of(st.none(), st.binary(max_size=12), IDS.map(str.encode))


@given(
    IDS,
    BYTES,
    BYTES,
    st.lists(st.tuples(st.one_of(TEXTS, IDS), BYTES), max_size=4),
    st.integers(0, 1 << 50),
)
def test_a_record_comes_out_as_it_went_in(
    correlation_id, value, key, headers, written_after_ms
):
    record = InboundRecord(
        topic="medium_priority",
        partition=3,
        offset=7,
        timestamp_ms=9,
        value=value,
        headers=Headers(headers),
        written_after_ms=written_after_ms,
        key=key,
    )
    again = unpack(
        pack(record, correlation_id),
        correlation_id,
        topic="medium_priority",
        partition=3,
        offset=7,
        timestamp_ms=9,
        value=value or b"",
    )
    assert again == record
    assert again.headers.pairs == record.headers.pairs
