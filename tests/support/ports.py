"""Ports that a server may take in a moment, while other tests open connections."""

import random
import socket
from contextlib import ExitStack

LOW, HIGH = 10_240, 32_768
"""Below those that Linux gives to connections (ip_local_port_range): one of them may take
a port between the look at it and the start of its server."""
_chance = random.SystemRandom()


def free_ports(count: int) -> list[int]:
    """So many different ones, on loopback."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = _chance.randrange(LOW, HIGH)
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found
