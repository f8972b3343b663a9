"""Which commands and options came after the oldest Redis that we allow.

A server of today says itself since when Redis has each (COMMAND DOCS), so there is no
table of ours to keep.
"""

import re
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import redis

from agentsched.operating.diagnosis import REDIS_LEAST
from tests.support.waiting import eventually

COMMAND = re.compile(rb'^\+[\d.]+ \[\d+ [^\]]*\] "([^"]*)"')
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
STRING = re.compile(r"'([^']*)'|\"([^\"]*)\"")
CALL = re.compile(r"\bredis\.p?call\(")
FORGIVEN = "client|setinfo"
"""The client tells its name so, and goes on where a server does not know how to hear it."""
CONTAINERS = 2
"""Words that name a command: `SCRIPT LOAD` has two."""


class Newer:
    """Commands and options that came after `REDIS_LEAST`.

    Args:
        client: of a server that has COMMAND DOCS: Redis 7, or Valkey.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._commands: dict[str, str] = {}
        self._options: dict[str, dict[str, str]] = {}
        # The client's own reading of COMMAND fails on what DOCS answers.
        client.set_response_callback("COMMAND", lambda answer, **_: answer)
        self._add(_text(client.execute_command("COMMAND", "DOCS")))

    def of(self, words: Sequence[str]) -> list[str]:
        """What an older Redis would not know of one command: empty if it knows all."""
        name = self.name(words)
        if name == FORGIVEN:
            return []
        since = self._commands.get(name, "never")
        if _is_newer(since):
            return [f"{name} is there since {since}"]
        return [
            f"{name} {word} is there since {self._options[name][word]}"
            for word in (each.upper() for each in words[1:])
            if word in self._options[name]
        ]

    def may_be(self, name: str) -> bool:
        """Whether a command of this first word has to be looked at as a whole."""
        name = name.lower()
        plain = name in self._commands and not _is_newer(self._commands[name])
        return not plain or bool(self._options[name])

    def name(self, words: Sequence[str]) -> str:
        """The server's name of a command."""
        long = "|".join(words[:CONTAINERS]).lower()
        return long if long in self._commands else words[0].lower()

    def _add(self, docs: Mapping[str, Any]) -> None:
        for name, about in docs.items():
            self._commands[name] = about["since"]
            options = dict(_tokens(about.get("arguments", ()), about["since"]))
            self._options[name] = {k: v for k, v in options.items() if _is_newer(v)}
            self._add(about.get("subcommands", {}))
            if "subcommands" in about:
                # Its second word decides.
                self._options[name]["*"] = ""


class CommandWatch:
    """Sees what a server runs, in scripts too, by MONITOR; a context manager.

    MONITOR leaves out what administrators do, such as CONFIG.
    """

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self.newer = Newer(self._client)
        self._found: list[str] = []
        self._seen: set[str] = set()
        options = self._client.connection_pool.connection_kwargs
        self._socket = socket.create_connection((options["host"], options["port"]))
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._socket.sendall(b"MONITOR\r\n")
        self._thread.start()
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()
        self._client.close()

    def take(self) -> list[str]:
        """What an older Redis would not know of all until now; then it is forgotten."""
        self._wait()
        found, self._found = self._found, []
        return found

    def _wait(self) -> None:
        """Wait until all that was sent until now is seen; before MONITOR works, too."""
        mark = uuid.uuid4().hex

        def is_seen() -> bool:
            self._client.echo(mark)
            return mark in self._seen

        eventually(is_seen, message="MONITOR shows what was sent")
        self._seen.clear()

    def _listen(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                if found := COMMAND.match(line):
                    self._look(found[1].decode(), line)

    def _look(self, name: str, line: bytes) -> None:
        if name.upper() == "ECHO":
            self._seen.update(_words(line)[1:])
        elif self.newer.may_be(name):
            self._found += self.newer.of(_words(line))


def calls_of(script: str) -> Iterator[list[str]]:
    """The strings of every `redis.call` of a script, command first; not nested ones."""
    script = re.sub(r"--[^\n]*", "", script)
    for call in CALL.finditer(script):
        yield [a or b for a, b in STRING.findall(_own(script[call.end() :]))]


def _own(text: str) -> str:
    """What stands in a bracket that is open, without what is in brackets of its own."""
    depth, quote, own = 1, "", ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        else:
            depth += (char == "(") - (char == ")")
        if not depth:
            return own
        own += char if depth == 1 else ""
    raise AssertionError(f"a bracket is open: {text[:60]}")


def _words(line: bytes) -> list[str]:
    return [word.decode("utf-8", "replace") for word in WORD.findall(line)]


def _tokens(arguments: Sequence[Any], since: str) -> Iterator[tuple[str, str]]:
    for one in arguments:
        own = max(since, one.get("since", since), key=_numbers)
        if "token" in one:
            yield one["token"].upper(), own
        yield from _tokens(one.get("arguments", ()), own)


def _is_newer(since: str) -> bool:
    return since == "never" or _numbers(since)[:2] > REDIS_LEAST


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _text(value: Any) -> Any:
    """With text for bytes, and mappings for the pairs of RESP2."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, dict):
        return {_text(key): _text(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_text(one) for one in value]
    return value
