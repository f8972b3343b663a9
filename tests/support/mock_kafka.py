"""librdkafka's mock broker inside the test process, where its faults can be scripted."""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import confluent_kafka

API_INIT_PRODUCER_ID = 22
CLUSTER_AUTHORIZATION_FAILED = 31


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
        errors = (ctypes.c_int * count)(*[CLUSTER_AUTHORIZATION_FAILED] * count)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster,
            ctypes.c_int16(API_INIT_PRODUCER_ID),
            ctypes.c_size_t(count),
            errors,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._host)
