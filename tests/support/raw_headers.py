"""Writes what confluent-kafka cannot: a record whose header names are any bytes."""

import ctypes
from collections.abc import Sequence

from tests.support.mock_kafka import _library

PRODUCER = 0
END, TOPIC, VALUE, HEADERS = 0, 1, 4, 10
"""`rd_kafka_vtype_t` of librdkafka."""


def produce(
    bootstrap: str,
    topic: str,
    value: bytes,
    headers: Sequence[tuple[bytes, bytes | None]],
) -> None:
    """Write one record and wait until Kafka has it."""
    library = _library()
    library.rd_kafka_headers_new.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(512)
    conf = ctypes.c_void_p(library.rd_kafka_conf_new())
    library.rd_kafka_conf_set(
        conf, b"bootstrap.servers", bootstrap.encode(), error, ctypes.c_size_t(512)
    )
    client = ctypes.c_void_p(
        library.rd_kafka_new(PRODUCER, conf, error, ctypes.c_size_t(512))
    )
    assert client, error.value
    raw = ctypes.c_void_p(library.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
    for name, content in headers:
        size = ctypes.c_ssize_t(len(content or b""))
        library.rd_kafka_header_add(
            raw, name, ctypes.c_ssize_t(len(name)), content, size
        )
    refused = library.rd_kafka_producev(
        client,
        *(ctypes.c_int(TOPIC), ctypes.c_char_p(topic.encode())),
        *(ctypes.c_int(VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
        *(ctypes.c_int(HEADERS), raw),
        ctypes.c_int(END),
    )
    assert not refused
    assert not library.rd_kafka_flush(client, ctypes.c_int(10_000))
    library.rd_kafka_destroy(client)
