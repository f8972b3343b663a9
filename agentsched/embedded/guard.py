"""Owns one promise: a command ends when the process that started it is gone.

Run as `python -I -S guard.py GRACE_S OUTPUT COMMAND...`; standard library only, so
that it starts in milliseconds. It must not know what it runs.

* stdin is the parent's life line: when it closes (also after `kill -9` of the parent)
  the command gets SIGTERM, and after GRACE_S seconds its process group gets SIGKILL.
* the first line of stdout is the command's process id.
* OUTPUT `log`: the command's stdout goes where stderr goes; `pipe`: it stays stdout.
* SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 are passed on; SIGINT is ignored, because Ctrl-C
  reaches a whole terminal and the order of the stop belongs to the parent.
* the exit code is the command's; a command that died by signal n gives 128 + n.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
PR_SET_PDEATHSIG = 1
NOT_STARTED = 127


def main(argv: list[str]) -> int:
    """Run the command; returns its exit code."""
    grace_s, output, command = float(argv[0]), argv[1], argv[2:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=None if output == "pipe" else sys.stderr.fileno(),
            start_new_session=True,
            # What the parent passed on purpose (a lock) belongs to the command.
            close_fds=False,
            preexec_fn=_in_child(os.getpid()),  # noqa: PLW1509  (no thread runs yet)
        )
    except OSError as error:
        sys.stderr.write(f"guard: {command[0]} does not start: {error.strerror}\n")
        return NOT_STARTED
    for number in PASSED_ON:
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.flush()
    threading.Thread(target=_end_with_stdin, args=(child, grace_s), daemon=True).start()
    return _wait(child)


def _in_child(guard_pid: int) -> Callable[[], None]:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if libc is not None:
            # Belt and braces: the command ends too when the guard itself is killed.
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != guard_pid:
                os._exit(NOT_STARTED)

    return prepare


def _end_with_stdin(child: "subprocess.Popen[bytes]", grace_s: float) -> None:
    while os.read(0, 4096):
        pass
    child.send_signal(signal.SIGTERM)
    # A stopped command would not see SIGTERM before it goes on.
    child.send_signal(signal.SIGCONT)
    threading.Event().wait(grace_s)
    _kill_group(child.pid)


def _wait(child: "subprocess.Popen[bytes]") -> int:
    # Left unreaped until the group is dead: so its id cannot be another's meanwhile.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    _kill_group(child.pid)
    code = child.wait()
    return 128 - code if code < 0 else code


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Gone already (macOS says "not permitted" of a group of zombies).
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
