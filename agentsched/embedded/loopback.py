"""Owns how a server of the local stack finds a port on loopback.

Nothing holds it until the server does: whoever needs to be sure looks who answers.
"""

import socket

LOOPBACK = "127.0.0.1"


def free_port(wanted: int = 0) -> int:
    """Return a port that nobody listens on; `wanted` itself where it is free."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # As servers do it: a port whose last connections only time out is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("there is no free port")


def answers(port: int) -> bool:
    """Return whether somebody listens there; blocks for a second at most."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False
