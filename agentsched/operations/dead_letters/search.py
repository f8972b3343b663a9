"""Finds dead letters: which there are, which were replayed; it changes nothing.

Content is not kept: what is found has neither key, value nor headers.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from agentsched.errors import AgentSchedError
from agentsched.kafka.offsets import Bounds
from agentsched.kafka.readers.topic_scan import TopicScan
from agentsched.wire.dead_letters import (
    SUFFIX,
    DeadLetter,
    dead_letter_topic,
    place,
    read_letter,
)
from agentsched.wire.records import InboundRecord, Partition, RecordAt
from agentsched.wire.replays import Replayed, read_marker

MAX_FOUND = 50_000
"""Kept in one search (half a kilobyte each); the newest of them."""

Track = Callable[[Iterable[InboundRecord], int], Iterable[InboundRecord]]
"""Shows a person how far a read is: (records, how many at most) -> the same records."""


class NoSuchPlace(AgentSchedError):  # noqa: N818  (names the event)
    """A place that was named holds no dead letter, or is written wrongly."""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters are looked for; empty: any."""

    reasons: frozenset[str] = frozenset()
    agent_id: str | None = None
    correlation_id: str | None = None
    since_ms: int | None = None
    """When it became a dead letter, at the earliest."""
    until_ms: int | None = None
    """The same, at the latest; inclusive."""
    replayed: bool | None = None
    """None: whether it was or not."""
    places: frozenset[RecordAt] = frozenset()

    def takes(self, letter: DeadLetter) -> bool:
        """Return whether a letter is wanted, as far as it says so itself."""
        at_ms = letter.timestamp_ms
        return (
            (not self.reasons or letter.reason in self.reasons)
            and self.agent_id in (None, letter.agent_id)
            and self.correlation_id in (None, letter.correlation_id)
            and (self.since_ms is None or at_ms >= self.since_ms)
            and (self.until_ms is None or at_ms <= self.until_ms)
            and (not self.places or letter.at in self.places)
        )


@dataclass(frozen=True, slots=True)
class Found:
    """One dead letter, and whether it was replayed before."""

    letter: DeadLetter
    replayed: Replayed | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What was found, the oldest first."""

    found: tuple[Found, ...]
    dropped: int = 0
    """Older ones that matched as well, beyond what is kept."""
    missing: tuple[str, ...] = ()
    """Topics that Kafka does not have."""
    strange: int = 0
    """Records that are no dead letters of ours, or of a version that is not known."""


@dataclass(slots=True)
class _Reading:
    letters: deque[DeadLetter]
    markers: dict[RecordAt, Replayed] = field(default_factory=dict)
    matched: int = 0
    strange: int = 0


def search(
    scan: TopicScan,
    topics: Sequence[str],
    wanted: LetterFilter,
    track: Track = lambda records, _most: records,
    most: int = MAX_FOUND,
) -> Search:
    """Read dead-letter topics and return what is wanted of them; blocks.

    Args:
        scan: open, of the topics.
        topics: dead-letter topics.
        wanted: what to look for.
        track: is handed the records on their way.
        most: how many are kept, the newest.

    Raises:
        KafkaFailed: Kafka does not answer.
    """
    spans = _spans(scan, wanted)
    reading = _Reading(deque(maxlen=most))
    total = sum(span.end - span.low for span in spans.values())
    for record in track(scan.read(spans), total):
        _take(reading, record, wanted)
    found = sorted(
        (Found(letter, reading.markers.get(letter.at)) for letter in reading.letters),
        key=lambda each: (each.letter.timestamp_ms, each.letter.at.offset),
    )
    there = {each.topic for each in scan.held}
    return Search(
        tuple(
            each
            for each in found
            if wanted.replayed in (None, each.replayed is not None)
        ),
        dropped=reading.matched - len(reading.letters),
        missing=tuple(name for name in topics if name not in there),
        strange=reading.strange,
    )


def _take(reading: _Reading, record: InboundRecord, wanted: LetterFilter) -> None:
    if (marker := read_marker(record)) is not None:
        reading.markers[marker.letter] = marker
    elif (letter := read_letter(record)) is None:
        reading.strange += 1
    elif wanted.takes(letter):
        reading.matched += 1
        reading.letters.append(letter.bare())


def _spans(scan: TopicScan, wanted: LetterFilter) -> Mapping[Partition, Bounds]:
    """Markers stand behind their letters: always read to the end."""
    if not wanted.places:
        return scan.since(wanted.since_ms)
    firsts = _by_partition(wanted.places)
    return {
        each: Bounds(max(span.low, min(firsts[each])), span.end)
        for each, span in scan.held.items()
        if each in firsts
    }


def whole_letters(
    scan: TopicScan,
    places: Iterable[RecordAt],
    track: Track = lambda records, _most: records,
) -> Iterable[DeadLetter]:
    """Yield dead letters with all that they hold, one after the other; blocks.

    Raises:
        KafkaFailed: Kafka does not answer.
    """
    wanted = set(places)
    offsets = _by_partition(wanted)
    spans = {
        each: Bounds(
            max(span.low, min(offsets[each])), min(span.end, max(offsets[each]) + 1)
        )
        for each, span in scan.held.items()
        if each in offsets
    }
    total = sum(span.end - span.low for span in spans.values())
    for record in track(scan.read(spans), total):
        if RecordAt(record.topic, record.partition, record.offset) not in wanted:
            continue
        if (letter := read_letter(record)) is not None:
            yield letter


def _by_partition(places: Iterable[RecordAt]) -> dict[Partition, list[int]]:
    offsets: dict[Partition, list[int]] = {}
    for at in places:
        offsets.setdefault(Partition(at.topic, at.partition), []).append(at.offset)
    return offsets


def parse_place(text: str, input_topics: Sequence[str]) -> RecordAt:
    """Read where a dead letter stands.

    Args:
        text: TOPIC:PARTITION:OFFSET or TOPIC:OFFSET (partition 0); the topic is a
            dead-letter topic, its input topic, or a part of the name that only one has.
        input_topics: of the configuration.

    Raises:
        NoSuchPlace: says how to write it.
    """
    topic, *numbers = text.split(":")
    if len(numbers) not in (1, 2) or not all(each.isdecimal() for each in numbers):
        raise NoSuchPlace(
            f"{text!r} is no place; write TOPIC:PARTITION:OFFSET, or TOPIC:OFFSET for"
            " partition 0, as `agentsched dead-letters list` shows it"
        )
    partition = int(numbers[0]) if len(numbers) == 2 else 0  # noqa: PLR2004
    return RecordAt(letter_topic(topic, input_topics), partition, int(numbers[-1]))


def letter_topic(name: str, input_topics: Sequence[str]) -> str:
    """Return the dead-letter topic that a name, or a part of one, stands for.

    Raises:
        NoSuchPlace: no topic, or several.
    """
    wanted = name.removesuffix(SUFFIX)
    matching = [each for each in input_topics if each == wanted] or [
        each for each in input_topics if wanted and wanted in each
    ]
    if len(matching) != 1:
        what = "several topics" if matching else "no input topic"
        raise NoSuchPlace(
            f"{name!r} is {what}; kafka.input_topics: {', '.join(input_topics)}"
        )
    return dead_letter_topic(matching[0])


def short_place(at: RecordAt) -> str:
    """Write a place without what all of them have in common."""
    return place(replace(at, topic=at.topic.removesuffix(SUFFIX)))
