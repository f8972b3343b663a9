"""What is committed beside a watermark: which offsets above it are answered, and when.

Kafka keeps a short text with a committed offset. Ours tells the next owner of the
partition, also after a loss of Redis, what the watermark cannot. Pure.
"""

import base64
import binascii
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentsched.wire.epoch import NO_EPOCH, EpochCounter

VERSION = 1
MAX_CHARACTERS = 4_000
"""The broker's default limit is 4,096 (`offset.metadata.max.bytes`)."""
MAX_RUNS = 5_000
"""To write more takes a bridge's loop longer (2 ms) than it is worth."""
TRIES = 8
_MARK = "agentsched:"
_CLEAN = 1
_MORE = 0x80
"""In a byte of a number: another follows."""


@dataclass(frozen=True, slots=True)
class CommitState:
    """What is known of a partition beside its watermark."""

    pulse: EpochCounter
    """How far the ledger had got that knows all that is not answered. A ledger that is
    behind, or another one, may have lost something."""
    topic_id: str = ""
    clean: bool = False
    """Nothing of the partition was in the ledger: its owner had stopped in order."""
    done: tuple[range, ...] = ()
    """Runs of answered offsets above the watermark, in order."""


def encode_commit_state(
    state: CommitState, watermark: int, most_characters: int = MAX_CHARACTERS
) -> str:
    """Write a commit state; runs that do not fit are left out, the last ones first."""
    runs = state.done[:MAX_RUNS]
    for _ in range(TRIES):
        text = _encode(state, watermark, runs)
        if len(text) <= most_characters:
            return text
        # As many as would fit if all took the same; a little less, so that few tries do.
        fit = int(len(runs) * 0.97 * most_characters / len(text))
        runs = runs[: min(fit, len(runs) - 1)] if runs else ()
    return _encode(state, watermark, ())


def decode_commit_state(text: str, watermark: int) -> CommitState | None:
    """Read a commit state; None when there is none of ours.

    One of a version that is not known here says nothing for sure: its pulse is none.
    """
    if not text.startswith(_MARK):
        return None
    version, _, body = text.removeprefix(_MARK).partition(":")
    try:
        if int(version) == VERSION:
            return _decode(zlib.decompress(base64.b64decode(body)), watermark)
    except (ValueError, IndexError, binascii.Error, zlib.error):
        pass
    return CommitState(NO_EPOCH)


def _encode(state: CommitState, watermark: int, runs: Sequence[range]) -> str:
    data = bytearray()
    _put(data, _CLEAN if state.clean else 0)
    _put(data, state.pulse.beats)
    for text in (state.pulse.epoch, state.topic_id):
        _put(data, len(text.encode()))
        data += text.encode()
    at = watermark
    for run in runs:
        _put(data, run.start - at)
        _put(data, len(run))
        at = run.stop
    body = base64.b64encode(zlib.compress(bytes(data), 9)).decode()
    return f"{_MARK}{VERSION}:{body}"


def _decode(data: bytes, watermark: int) -> CommitState:
    numbers = _Reader(data)
    flags, beats = numbers.number(), numbers.number()
    epoch, topic_id = numbers.text(), numbers.text()
    return CommitState(
        EpochCounter(epoch, beats),
        topic_id,
        clean=bool(flags & _CLEAN),
        done=tuple(numbers.runs(watermark)),
    )


def _put(data: bytearray, number: int) -> None:
    """Write a number in as many bytes as it needs, seven bits each."""
    while number >= _MORE:
        data.append(number % _MORE | _MORE)
        number >>= 7
    data.append(number)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            number |= byte % _MORE << shift
            if byte < _MORE:
                return number
            shift += 7

    def text(self) -> str:
        length = self.number()
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def runs(self, at: int) -> Iterator[range]:
        while self._at < len(self._data):
            start = at + self.number()
            at = start + self.number()
            yield range(start, at)
