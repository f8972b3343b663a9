"""Owns librdkafka's mock cluster, through its C API, in a process of its own.

Run as `python kafka_mock.py TOPIC:PARTITIONS...`. It prints {"bootstrap": address},
then reads lines `TOPIC:PARTITIONS` and answers {"rc": number}; when its stdin closes
it ends. The mock is a ring in memory: 5 MiB a partition, older records vanish, and all
of it vanishes with the process. Not for anything that must be kept.
"""

import ctypes
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

SESSION_TIMEOUT_MS = 6000
HEARTBEAT_MS = 500
_POINTER = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_new": (
        _POINTER,
        [ctypes.c_int, _POINTER, ctypes.c_char_p, ctypes.c_size_t],
    ),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, ctypes.c_int]),
    "rd_kafka_mock_cluster_bootstraps": (ctypes.c_char_p, [_POINTER]),
    "rd_kafka_mock_topic_create": (
        ctypes.c_int,
        [_POINTER, ctypes.c_char_p, ctypes.c_int, ctypes.c_int],
    ),
    "rd_kafka_mock_set_controller_id": (ctypes.c_int, [_POINTER, ctypes.c_int32]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (
        None,
        [_POINTER, ctypes.c_int32],
    ),
    "rd_kafka_mock_set_group_consumer_session_timeout_ms": (
        None,
        [_POINTER, ctypes.c_int],
    ),
    "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (
        None,
        [_POINTER, ctypes.c_int],
    ),
}


def load_library() -> ctypes.CDLL:
    """Load the librdkafka that the confluent-kafka wheel brings, with signatures."""
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        sys.exit("confluent-kafka is not installed")
    libraries = Path(spec.origin).parents[1] / "confluent_kafka.libs"
    found = sorted(libraries.glob("librdkafka-*.so*"))
    library = ctypes.CDLL(str(found[0]) if found else "librdkafka.so.1")
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def start_cluster(library: ctypes.CDLL) -> int:
    """Start one mock broker on a free port of loopback; returns its handle."""
    error = ctypes.create_string_buffer(512)
    client = library.rd_kafka_new(0, library.rd_kafka_conf_new(), error, 512)
    if not client:
        sys.exit(f"librdkafka: {error.value.decode()}")
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    if not cluster:
        sys.exit("librdkafka: the mock cluster does not start")
    # Without a controller, AdminClient.create_topics hangs to its time-out.
    library.rd_kafka_mock_set_controller_id(cluster, 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    library.rd_kafka_mock_set_group_consumer_session_timeout_ms(
        cluster, SESSION_TIMEOUT_MS
    )
    library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(
        cluster, HEARTBEAT_MS
    )
    return int(cluster)


def main(topics: list[str]) -> NoReturn:
    """Serve until stdin closes, which happens also when the parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the clients drain first
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    library = load_library()
    cluster = start_cluster(library)

    def create(topic: str) -> int:
        name, partitions = topic.strip().rsplit(":", 1)
        return int(
            library.rd_kafka_mock_topic_create(
                cluster, name.encode(), int(partitions), 1
            )
        )

    for topic in topics:
        if code := create(topic):
            sys.exit(f"librdkafka: topic {topic} is refused ({code})")
    _say({"bootstrap": library.rd_kafka_mock_cluster_bootstraps(cluster).decode()})
    for line in sys.stdin:
        _say({"rc": create(line)})
    os._exit(0)  # without joining librdkafka's threads: nothing has to be kept


def _say(answer: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
