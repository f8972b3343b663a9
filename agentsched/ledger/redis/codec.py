"""How the ledger's values look in Redis; pure, knows no client and no step.

Names of models and endpoints appear in key names; prompts and replies are passed
through as they are.
"""

import json
from collections.abc import Mapping, Sequence

from agentsched.errors import NewerFormat
from agentsched.ledger.operator_orders import (
    CONTROL_VERSION,
    CONTROL_VERSIONS_READ,
    Control,
    ControlKind,
)
from agentsched.ledger.values import (
    Change,
    ChangeKind,
    Ending,
    EntryView,
    Limits,
    ReadyEntry,
    Slot,
    State,
)
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import FACTS_VERSION, RequestFacts

KINDS_READ = frozenset(ControlKind) - {ControlKind.UNKNOWN}


def encode_facts(facts: RequestFacts) -> str:
    """Write facts as ASCII JSON with a version."""
    data = {name: getattr(facts, name) for name in RequestFacts.__slots__}
    if not facts.traceparent:
        del data["traceparent"]
    return json.dumps(data | {"version": FACTS_VERSION}, separators=(",", ":"))


def decode_facts(text: bytes | str) -> RequestFacts:
    """Read facts; unknown fields are ignored.

    Raises:
        NewerFormat: another version wrote them.
    """
    data = json.loads(text)
    if data.get("version") != FACTS_VERSION:
        raise NewerFormat(
            f"the ledger holds facts of version {data.get('version')}, this process"
            f" reads {FACTS_VERSION}: upgrade this process (docs/how-to/upgrade.md)"
        )
    data["models"] = tuple(data["models"])
    data.setdefault("traceparent", "")
    return RequestFacts(**{name: data[name] for name in RequestFacts.__slots__})


def encode_pool(model: str, endpoint: str) -> str:
    """Name the slots of one endpoint for one model; the first `|` ends the model."""
    return f"{encode_model(model)}|{endpoint}"


def decode_pool(pool: str) -> tuple[str, str]:
    """Return (model, endpoint)."""
    model, _, endpoint = pool.partition("|")
    return decode_model(model), endpoint


def encode_model(model: str) -> str:
    """Write a model's name without `|`."""
    return model.replace("%", "%25").replace("|", "%7C")


def decode_model(text: str) -> str:
    """Read a model's name."""
    return text.replace("%7C", "|").replace("%25", "%")


def encode_record_at(at: RecordAt) -> str:
    """Write where a record is; a topic name holds no blank."""
    return f"{at.topic} {at.partition} {at.offset}"


def decode_record_at(text: bytes) -> RecordAt:
    """Read where a record is."""
    topic, partition, offset = text.decode().split(" ")
    return RecordAt(topic, int(partition), int(offset))


def decode_ready(value: bytes) -> ReadyEntry:
    """Read an entry of the ready set."""
    words, brace, facts = value.partition(b"{")
    # A newer version may have written more of them.
    turn, not_before_ms, crashes, payload_hash = words.split()[:4]
    return ReadyEntry(
        decode_facts(brace + facts),
        int(not_before_ms),
        turn=int(turn),
        payload_hash=payload_hash.decode(),
        crashes=int(crashes),
    )


def decode_slot(key: str, value: bytes) -> Slot:
    """Read a slot in use."""
    cls, _lease_id, pool = value.decode().split("\n")[:3]
    model, endpoint = decode_pool(pool)
    return Slot(key, model, endpoint, cls)


def decode_changes(
    at: bytes, fields: Mapping[bytes, bytes], *, detailed: bool = True
) -> list[Change]:
    """Read one entry of the change log: what one step changed."""
    if b"kind" in fields:  # as format 2 wrote it: a hint that nobody needs any more
        return []
    place = at.decode()
    return [_change(place, text, detailed=detailed) for text in fields.values()]


def _change(at: str, text: bytes, *, detailed: bool) -> Change:
    name, raw_key, more = text.split(b" ", 2)
    kind, key = ChangeKind(name.decode()), raw_key.decode()
    if kind is ChangeKind.SETTLED:
        offset, source = more.decode().split(" ", 1)
        return Change(kind, at, key, source=source, offset=int(offset))
    if detailed and kind is ChangeKind.READY:
        return Change(kind, at, key, ready=decode_ready(more))
    if detailed and kind in (ChangeKind.TAKEN, ChangeKind.FREED):
        return Change(kind, at, key, slot=decode_slot(key, more))
    return Change(kind, at, key)


def decode_view(row: Sequence[bytes]) -> EntryView | None:
    """Read what `inspect.lua` says of one entry."""
    if not row:
        return None
    (
        state,
        since_ms,
        lease_left_ms,
        pool,
        overdue_ms,
        ending,
        payload_hash,
        starts,
        turn,
    ) = (field.decode() for field in row)
    return EntryView(
        State(state),
        since_ms=int(since_ms),
        lease_left_ms=int(lease_left_ms),
        model=decode_pool(pool)[0],
        overdue_ms=int(overdue_ms),
        ending=Ending(ending) if ending else None,
        payload_hash=payload_hash,
        attempts=int(starts),
        turn=int(turn),
    )


def encode_place(kind: ControlKind, name: str) -> str:
    """Name where a control stands; there is one in each place."""
    return name if kind is ControlKind.UNKNOWN else f"{kind} {name}"


def encode_control(control: Control) -> str | bytes:
    """Write a control, without its time; what was not read is written as it was."""
    if control.written:
        return control.written
    said = {"version": CONTROL_VERSION, "by": control.by, "reason": control.reason}
    return json.dumps(said)


def decode_control(place: bytes, value: bytes) -> Control:
    """Read a control with its time.

    What cannot be read is an order all the same: it holds, and says why in its reason.
    """
    text = place.decode(errors="replace")
    kind, name = _kind_and_name(text)
    time, _, written = value.partition(b" ")
    if not time.isdigit():
        time, written = b"0", value
    at_ms = int(time)
    try:
        said = json.loads(written)
        version = said.get("version", 1)
        if version in CONTROL_VERSIONS_READ and kind is not ControlKind.UNKNOWN:
            return Control(kind, name, str(said["by"]), str(said["reason"]), at_ms)
    except (ValueError, KeyError, AttributeError, TypeError):
        version = None
    what = "an unknown order" if kind is ControlKind.UNKNOWN else "an order"
    since = "that cannot be read" if version is None else f"of version {version!s:.20}"
    reason = f"{what} {since}, held to be safe: upgrade this process"
    return Control(kind, name, reason=reason, at_ms=at_ms, written=written)


def _kind_and_name(place: str) -> tuple[ControlKind, str]:
    kind, _, name = place.partition(" ")
    if kind in KINDS_READ:
        return ControlKind(kind), name
    return ControlKind.UNKNOWN, place


def encode_limits(limits: Limits) -> list[str | int]:
    """Write limits as field, value, field, value ..."""
    flat: list[str | int] = [
        *("max_in_flight", limits.max_in_flight),
        *("ready_max_entries", limits.ready_max_entries),
        *("horizon_s", limits.horizon_s),
    ]
    for (model, endpoint), capacity in limits.capacity.items():
        flat += [f"capacity:{encode_pool(model, endpoint)}", capacity]
    return flat
