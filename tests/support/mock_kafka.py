"""librdkafka's mock broker inside the test process, where its faults can be scripted."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import confluent_kafka

API_OFFSET_COMMIT = 8
API_INIT_PRODUCER_ID = 22
COORDINATOR_LOAD_IN_PROGRESS = 14
CLUSTER_AUTHORIZATION_FAILED = 31
SILENCE_MS = 10**8


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    (path,) = folder.glob("librdkafka-*.so*")
    library = ctypes.CDLL(path)
    for name in (
        "rd_kafka_conf_new",
        "rd_kafka_new",
        "rd_kafka_mock_cluster_new",
    ):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class MockKafka:
    """One broker; a context manager. The product's own is `agentsched.embedded.kafka`."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._library = _library()
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        self._host = ctypes.c_void_p(
            self._library.rd_kafka_new(0, conf, error, ctypes.c_size_t(512))
        )
        if not self._host:
            raise AssertionError(error.value.decode())
        self._cluster = ctypes.c_void_p(
            self._library.rd_kafka_mock_cluster_new(self._host, 1)
        )
        for name, partitions in topics.items():
            self._library.rd_kafka_mock_topic_create(
                self._cluster, name.encode(), partitions, 1
            )

    @property
    def bootstrap(self) -> str:
        text = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return text.decode()

    def refuse_producer_ids(self, count: int) -> None:
        """Idempotent clients get an error that librdkafka treats as fatal."""
        self._refuse(API_INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED, count)

    def serve_groups(self) -> None:
        """Answer group members at once, and administrators."""
        self._library.rd_kafka_mock_set_controller_id(self._cluster, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)

    def load_at_the_next_commit(self) -> None:
        """Be the new coordinator that has not read its offsets: ask again in a moment."""
        self._refuse(API_OFFSET_COMMIT, COORDINATOR_LOAD_IN_PROGRESS, 1)

    def fall_silent(self) -> None:
        """Stay connected, and answer nothing any more."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, 1, SILENCE_MS)

    def _refuse(self, api: int, code: int, count: int) -> None:
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster,
            ctypes.c_int16(api),
            ctypes.c_size_t(count),
            (ctypes.c_int * count)(*[code] * count),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._host)
