"""What a record's value is instead of JSON is named, where its bytes tell for certain."""

import base64
import bz2
import gzip
import json
import lzma
import pickle
import zlib

import pytest

from agentsched.errors import CodecError
from agentsched.types import Message
from agentsched.wire.json import read_object
from agentsched.wire.misencodings import likely_cause
from tests.support.bad_input import ANSWERED, DEAD, UNUSUAL

REQUEST = {"correlation_id": "c", "content": "the secret prompt"}
JSON = json.dumps(REQUEST)
PLAIN = JSON.encode()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        # kafka-ui #643 (row W of the cases that users of other products reported)
        (b"\0\0\0\0\x07" + PLAIN, "schema registry"),
        (b"\0\0\0\0\x01\x0athe secret prompt", "schema registry"),
        (gzip.compress(PLAIN, mtime=0), "gzip"),
        (b"\x28\xb5\x2f\xfd" + PLAIN, "zstd"),
        (b"\xff\x06\x00\x00sNaPpY" + PLAIN, "snappy"),
        (b"\x82SNAPPY\x00" + PLAIN, "snappy"),
        (b"\x04\x22\x4d\x18" + PLAIN, "lz4"),
        (lzma.compress(PLAIN), "xz"),
        (bz2.compress(PLAIN), "bzip2"),
        (zlib.compress(PLAIN), "zlib"),
        (b"PK\x03\x04" + PLAIN, "zip"),
        (b"Obj\x01" + PLAIN, "Avro"),
        (b"\xc3\x01" + b"8 bytes." + PLAIN, "Avro"),
        (b"\xac\xed\x00\x05sr\x00" + PLAIN, "Java"),
        (JSON.encode("utf-16"), "UTF-16"),
        (JSON.encode("utf-16-le"), "UTF-16"),
        (JSON.encode("utf-16-be"), "UTF-16"),
        (JSON.encode("utf-32"), "UTF-32"),
        (JSON.encode("utf-32-be"), "UTF-32"),
        ('{"content": "grüß"}'.encode("latin-1"), "Latin-1"),
        (b"\x14\0\0\0\x02id\0\x06\0\0\0hello\0\0\0", "BSON"),
        (b"\x81\xa7content\xa5hello", "MessagePack"),
        (pickle.dumps(REQUEST), "pickle"),
        (json.dumps(JSON).encode(), "encoded twice"),
        (json.dumps(base64.b64encode(PLAIN).decode()).encode(), "base64"),
        (base64.b64encode(PLAIN), "base64"),
        (base64.urlsafe_b64encode('{"content": "?>ü"}'.encode()), "base64"),
        (str(REQUEST).encode(), "json.dumps"),
        (str(PLAIN).encode(), "json.dumps"),
        (str(Message(id="x", content="x")).encode(), "json.dumps"),
        (repr(Message(id="x", content="x")).encode(), "json.dumps"),
        (b"[" + PLAIN + b"]", "a record of its own"),
        (PLAIN + b"\n" + PLAIN, "a record of its own"),
        (b"", "empty"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_the_likely_cause_is_named_with_the_remedy_and_without_the_content(value, said):
    with pytest.raises(CodecError, match=said) as refused:
        read_object(value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        b"hello",
        b"x^2 + y^2",
        b"7",
        b"null",
        b"eyes",
        b"\xff",
        b"\0\0\0\0\0\0",
        b"BZh is no bzip2",
        b'a="b"',
        b'{"correlation_id": "half", "content": ',
    ],
)
def test_where_nothing_is_certain_nothing_is_claimed(value):
    assert not likely_cause(value)


@pytest.mark.parametrize("record", [*DEAD, *ANSWERED, *UNUSUAL], ids=str)
def test_no_value_makes_the_search_for_its_cause_fail(record):
    assert isinstance(likely_cause(record.value or b""), str)
