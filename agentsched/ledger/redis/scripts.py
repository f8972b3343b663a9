"""Running Lua steps on Redis: loading them, and saying what went wrong in our errors.

It knows no step by name; the scripts lie in `lua/`, one file a step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from importlib.resources import files
from time import perf_counter
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from agentsched.errors import (
    EpochChanged,
    LedgerError,
    LedgerUnavailable,
    NewerFormat,
)
from agentsched.ledger.answered_offsets import BLOCK_OFFSETS
from agentsched.ledger.turns import (
    LAST_TURN_KEPT_MS,
    MAX_TURN_BYTES,
    SUSPECT_CRASHES,
    UNTOLD,
)
from agentsched.ledger.values import CHANGES_KEPT
from agentsched.redis.refusals import refusal

Argument = str | bytes | int

EPOCH_CODE = "EPOCHCHANGED"
NEWER_CODE = "NEWERFORMAT"
"""Followed by what it is that a newer version wrote, and by its version."""
NOT_NOW = frozenset(
    {
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "OOM",
        "READONLY",
        "TRYAGAIN",
        "UNBLOCKED",
        "UNKILLABLE",
    }
)
"""First words of what a server answers that cannot do the step now, but may later."""


ENTRIES = ("entries", "tombstones")
"""What every step on entries is built of."""
PARTS = {
    "complete": ("endings",),
    "put_back": ("endings",),
    "published": ("endings",),
    "plan": ("lists",),
    "turn": ("endings", "lists", "takes"),
}
"""And these more, in this order."""
RUN = """
local done, answer = pcall(step)
{endings}write_changes()
if not done then error(answer, 0) end
return answer
"""


@cache
def _source(step: str, *, checks_epoch: bool) -> str:
    shared = {
        "CHANGES_KEPT": CHANGES_KEPT,
        "BLOCK": BLOCK_OFFSETS,
        "SUSPECT_CRASHES": SUSPECT_CRASHES,
        "LAST_TURN_KEPT_MS": LAST_TURN_KEPT_MS,
        "MAX_TURN_BYTES": MAX_TURN_BYTES,
        "UNTOLD": UNTOLD,
    }
    parts = [f"local {name} = {number}" for name, number in shared.items()]
    parts.append(_part("common"))
    if not checks_epoch:
        return "\n".join([*parts, _part(step)])
    parts += [_part(name) for name in (*ENTRIES, *PARTS.get(step, ()))]
    # Also after an error: what was done before it counts.
    endings = "write_endings()\n" if "endings" in PARTS.get(step, ()) else ""
    run = RUN.format(endings=endings)
    return "\n".join([*parts, "local function step()", _part(step), "end", run])


def _part(name: str) -> str:
    folder = files("agentsched.ledger") / "lua"
    return (folder / f"{name}.lua").read_text("utf-8")


@cache
def _digest(step: str, *, checks_epoch: bool) -> str:
    # Not for security: it is how EVALSHA names a script.
    source = _source(step, checks_epoch=checks_epoch)
    return sha1(source.encode(), usedforsecurity=False).hexdigest()


def translate(step: str, error: RedisError) -> LedgerError:
    """Return our error for the client's; the text holds no value of the step."""
    if refused := refusal(error):
        # A right may be given while we wait.
        return LedgerUnavailable(f"Redis did not do {step!r}: {refused}")
    if not isinstance(error, ResponseError):
        return LedgerUnavailable(
            f"Redis did not answer {step!r} ({type(error).__name__}): check that the"
            " server of `redis.url` runs and can be reached; the step may be repeated"
        )
    words = str(error).replace("-", " ").split()
    if EPOCH_CODE in words:
        return EpochChanged(
            f"{step!r} was not done: Redis has no epoch or another one; open it again"
        )
    if NEWER_CODE in words:
        what, version = words[words.index(NEWER_CODE) + 1 :][:2]
        return NewerFormat(
            f"{step!r} was not done: a newer version of AgentSched wrote a {what} of"
            f" version {version} into this namespace: upgrade this process, too"
            " (docs/how-to/upgrade.md)"
        )
    code = next((word for word in words if word in NOT_NOW), None)
    # The client strips the code of errors that it has a class for.
    if code or type(error) is not ResponseError:
        return LedgerUnavailable(
            f"Redis cannot do {step!r} now ({code or type(error).__name__}):"
            " look into the server's log; the step may be repeated"
        )
    return LedgerError(
        f"Redis refused {step!r}: the server must be Redis 6.2 or Valkey 7.2 at least,"
        " with Lua and without renamed commands"
    )


@contextmanager
def translated(step: str) -> Iterator[None]:
    """Raise our errors for the client's."""
    try:
        yield
    except RedisError as error:
        ours = translate(step, error)
        raise ours from _cause(ours, error)


def _cause(ours: LedgerError, error: RedisError) -> RedisError | None:
    # A refusal may repeat our arguments ("unknown command ..., with args ...").
    return error if isinstance(ours, (LedgerUnavailable, EpochChanged)) else None


OnStep = Callable[[str, float, str], None]
"""Is told of every step that ended: its name, its seconds, the class of our error or ""."""


def _unwatched(step: str, took_s: float, error: str) -> None:
    """Stand in where nobody wants to know."""


class Scripts:
    """Runs the steps of one namespace; safe for threads, opens nothing until used."""

    def __init__(
        self, client: redis.Redis, namespace: str, on_step: OnStep | None = None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._on_step = on_step or _unwatched

    @contextmanager
    def watched(self, step: str) -> Iterator[None]:
        """Raise our errors for the client's, and tell how the step ended."""
        started, ended = perf_counter(), ""
        try:
            with translated(step):
                yield
        except LedgerError as error:
            ended = type(error).__name__
            raise
        finally:
            self._on_step(step, perf_counter() - started, ended)

    def run(self, step: str, *args: Argument, checks_epoch: bool = True) -> Any:  # noqa: ANN401  (each step has its own answer)
        """Run one step and return its answer; blocks for one round trip."""
        digest = _digest(step, checks_epoch=checks_epoch)
        with self.watched(step):
            try:
                return self._client.evalsha(digest, 0, self._namespace, *args)
            except NoScriptError:
                # Sent with its source, so that no flush of scripts comes between.
                source = _source(step, checks_epoch=checks_epoch)
                return self._client.eval(source, 0, self._namespace, *args)

    def run_each(
        self, step: str, epoch: str, rows: Sequence[Sequence[Argument]]
    ) -> list[Any]:
        """Run one step for every row, in one round trip; each is atomic, not all.

        The first row that failed raises, after all rows were tried.
        """
        digest = _digest(step, checks_epoch=True)
        with self.watched(step):
            answers = self._send(digest, epoch, rows)
            again = [
                at for at, it in enumerate(answers) if isinstance(it, NoScriptError)
            ]
            if again:
                self._client.script_load(_source(step, checks_epoch=True))
                repeated = self._send(digest, epoch, [rows[at] for at in again])
                for at, answer in zip(again, repeated, strict=True):
                    answers[at] = answer
            for answer in answers:
                if isinstance(answer, RedisError):
                    ours = translate(step, answer)
                    raise ours from _cause(ours, answer)
        return answers

    def _send(
        self, digest: str, epoch: str, rows: Sequence[Sequence[Argument]]
    ) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for row in rows:
                pipeline.evalsha(digest, 0, self._namespace, epoch, *row)
            # The client's own raising would put the arguments into the error's text.
            return pipeline.execute(raise_on_error=False)
