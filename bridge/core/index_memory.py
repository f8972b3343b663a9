"""What the index takes in memory: its byte limit counts all of it, not payloads only.

The constants are measured: `python benchmarks/index_memory.py`.
"""

from agentsched.wire.records import Headers, InboundRecord
from bridge.core.state import Indexed, Traits

RECORD_BYTES = 740
"""One request beside its texts: objects, and its share of dicts and queues."""
TRAITS_BYTES = 450
"""What the first request of an agent, class and model on a partition takes more."""
REFUSED_BYTES = 1_500
"""One record that becomes a dead letter, beside its value, key and headers."""


def of_request(entry: Indexed) -> int:
    """Return the bytes that one request takes."""
    texts = len(entry.payload) + len(entry.envelope) + len(entry.reply)
    ids = len(entry.correlation_id) + len(entry.traceparent)
    return RECORD_BYTES + texts + ids


def of_traits(traits: Traits) -> int:
    """Return the bytes that what requests have in common takes."""
    return TRAITS_BYTES + len(traits.agent_id) + len(traits.group)


def of_refused(record: InboundRecord) -> int:
    """Return the bytes that a record takes that nobody can be answered for."""
    headers = sum(
        len(name) + len(value or b"")
        for name, value in Headers.of(record.headers).pairs
    )
    return REFUSED_BYTES + len(record.value or b"") + len(record.key or b"") + headers
