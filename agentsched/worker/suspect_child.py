"""The process in which a suspect runs alone: `python -m agentsched.worker.suspect_child`.

It reads requests, one line each, and writes their answers. It ends when its stdin
closes, also in the middle of a call: then its worker is gone. It knows no ledger and no
Kafka, and writes nothing but answers.
"""

import asyncio
import os
import sys
import threading
from queue import SimpleQueue

from agentsched.config.loader import load_settings
from agentsched.llm_backend.client import HttpCompleter
from agentsched.worker.call import ask
from agentsched.worker.call_result import Job
from agentsched.worker.clock import Clock
from agentsched.worker.suspect_protocol import decode_taken, encode_answer


def _read_lines(lines: "SimpleQueue[bytes]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


def _say_the_class(kind: type[BaseException], *_: object) -> None:
    """No text and no traceback: they may hold a part of the request."""
    sys.stderr.write(f"suspect: {kind.__name__}\n")


def main() -> None:
    """Answer request after request."""
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_read_lines, args=(lines,), daemon=True).start()
    sys.excepthook = _say_the_class
    settings, clock = load_settings().settings, Clock()
    with asyncio.Runner() as runner:
        completer = HttpCompleter(settings)
        while True:
            line = lines.get()
            taken = decode_taken(line)
            job = Job.of(taken, clock.now_s()).opened(taken.payload)
            answer = runner.run(ask(settings, completer, job, clock))
            sys.stdout.buffer.write(encode_answer(answer))
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
