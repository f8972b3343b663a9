"""Finds out what is wrong with the certificate that Kafka shows.

librdkafka says that it "could not be verified", whatever the reason. This asks again with
Python's `ssl`; it sends no record, no login, and decides nothing.
"""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from agentsched.kafka.librdkafka import log

MAX_SERVERS = 3
HANDSHAKE_S = 1.0


def certificate_fault(properties: Mapping[str, object]) -> str:
    """Return what is wrong, for a person, and log it; empty: nothing, or not known.

    Blocks for 6 s at most.

    Args:
        properties: of the client that got no answer, with `bootstrap.servers`.
    """
    if "SSL" not in str(properties.get("security.protocol", "")).upper():
        return ""
    try:
        context = _context(properties)
    except (OSError, ValueError):  # librdkafka says what is wrong with our own files
        return ""
    for server in str(properties["bootstrap.servers"]).split(",")[:MAX_SERVERS]:
        try:
            _shake_hands(server.strip().rpartition("://")[2], context)
        except ssl.SSLCertVerificationError as error:
            fault = f"{server.strip()} shows a bad certificate: {error.verify_message}"
            log.error("%s", fault)
            return fault
        except (OSError, ValueError):
            continue
    return ""


def _context(properties: Mapping[str, object]) -> ssl.SSLContext:
    authorities = str(properties.get("ssl.ca.location") or "")
    folder = Path(authorities).is_dir()
    context = ssl.create_default_context(
        cafile=None if folder else authorities or None,
        capath=authorities if folder else None,
        cadata=str(properties.get("ssl.ca.pem") or "") or None,
    )
    if properties.get("ssl.endpoint.identification.algorithm") == "none":
        context.check_hostname = False
    return context


def _shake_hands(server: str, context: ssl.SSLContext) -> None:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    with (
        contextlib.closing(
            socket.create_connection((host, int(port)), HANDSHAKE_S)
        ) as plain,
        context.wrap_socket(plain, server_hostname=host),
    ):
        pass
