"""Answered offsets of a partition: as runs here, as bitmap blocks in Redis; pure."""

from collections.abc import Iterable, Iterator

BLOCK_OFFSETS = 65_536
"""Offsets in one bitmap string (design, 3.1); the scripts are given the same number."""
BLOCK_BYTES = BLOCK_OFFSETS // 8


def runs_of(offsets: Iterable[int]) -> list[range]:
    """Join offsets, which come in order, to runs."""
    return list(_joined(range(offset, offset + 1) for offset in offsets))


def within(runs: Iterable[range], start: int, stop: int) -> list[range]:
    """Return what of the runs lies in `start` (inclusive) to `stop` (exclusive)."""
    cut = (range(max(run.start, start), min(run.stop, stop)) for run in runs)
    return [run for run in cut if run]


def decode_blocks(blocks: Iterable[tuple[int, bytes]]) -> list[range]:
    """Return the offsets that are set in bitmap blocks, which come in order."""
    return list(
        _joined(
            range(first + run.start, first + run.stop)
            for block, bitmap in blocks
            for first, byte in _bytes_of(block, bitmap)
            for run in _RUNS[byte]
        )
    )


def encode_blocks(runs: Iterable[range]) -> dict[int, bytes]:
    """Return the bitmap blocks in which these offsets, and no others, are set."""
    blocks: dict[int, bytearray] = {}
    for run in runs:
        for block in range(
            run.start // BLOCK_OFFSETS, (run.stop - 1) // BLOCK_OFFSETS + 1
        ):
            first = block * BLOCK_OFFSETS
            bitmap = blocks.setdefault(block, bytearray(BLOCK_BYTES))
            for part in within([run], first, first + BLOCK_OFFSETS):
                _set(bitmap, part.start - first, part.stop - first)
    return {block: bytes(bitmap) for block, bitmap in blocks.items()}


def _joined(runs: Iterable[range]) -> Iterator[range]:
    start = stop = -1
    for run in runs:
        if run.start != stop:
            if start >= 0:
                yield range(start, stop)
            start = run.start
        stop = run.stop
    if start >= 0:
        yield range(start, stop)


def _bytes_of(block: int, bitmap: bytes) -> Iterator[tuple[int, int]]:
    first = block * BLOCK_OFFSETS
    return ((first + at * 8, byte) for at, byte in enumerate(bitmap) if byte)


def _set(bitmap: bytearray, start: int, stop: int) -> None:
    """Set bits; the first offset is the highest bit of the first byte."""
    whole = range(-(-start // 8), stop // 8)
    if whole:
        bitmap[whole.start : whole.stop] = b"\xff" * len(whole)
    edges = [*range(start, whole.start * 8), *range(whole.stop * 8, stop)]
    for bit in edges if whole else range(start, stop):
        bitmap[bit // 8] |= 0x80 >> bit % 8


def _runs_of_byte(byte: int) -> tuple[range, ...]:
    return tuple(runs_of(bit for bit in range(8) if byte & (0x80 >> bit)))


_RUNS = tuple(map(_runs_of_byte, range(256)))
