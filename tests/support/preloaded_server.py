"""The process that has imported AgentSched, and forks for each command; see `preloaded`.

It is single-threaded, and ends when its stdin does.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import socket
import sys
import time

from agentsched.cli.main import COMMANDS

STARTS_SERVERS = {"demo", "up"}
"""These are no commands that end at once."""
MAX_ORDER_BYTES = 262_144
FILES = 3


def serve(listening: socket.socket) -> None:
    """Returns at the end of stdin, and in the process of each command."""
    while True:
        readable, _, _ = select.select([listening, 0], [], [])
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if listening not in readable:
            os._exit(0)
        line, _ = listening.accept()
        if not os.fork():
            listening.close()
            _command(line)
            return
        line.close()


def _command(line: socket.socket) -> None:
    """Returns in the command itself; its parent tells how it ended, and ends."""
    order, files, _, _ = socket.recv_fds(line, MAX_ORDER_BYTES, FILES)
    command = os.fork()
    if command:
        for file in files:
            os.close(file)
        _, status = os.waitpid(command, 0)
        line.send(str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    line.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    told = json.loads(order)
    os.environ.clear()
    os.environ.update(told["env"])
    time.tzset()
    os.chdir(told["cwd"])
    sys.argv = told["words"]
    # As `python -m` has it.
    sys.path[0] = told["cwd"]


def main() -> None:
    for name in COMMANDS.keys() - STARTS_SERVERS:
        importlib.import_module(f"agentsched.cli.{COMMANDS[name].module}")
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(os.environ["LISTENING"])))
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
