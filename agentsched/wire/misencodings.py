"""Why a value is no JSON object, where its bytes tell for certain; pure.

What it returns goes into replies, dead letters and logs: never a part of the value.
"""

import base64
import binascii
import json
import re
import zlib

_COMPRESSED = (
    ("gzip", rb"\x1f\x8b"),
    ("zstd", rb"\x28\xb5\x2f\xfd"),
    ("snappy", rb"\xff\x06\x00\x00sNaPpY|\x82SNAPPY\x00"),
    ("lz4", rb"\x04\x22\x4d\x18"),
    ("xz", rb"\xfd7zXZ\x00"),
    ("bzip2", rb"BZh[1-9]1AY&SY"),
    ("zip", rb"PK\x03\x04"),
)
_FORMATS = (
    ("an Avro file: send JSON", rb"Obj\x01"),
    ("a single object in Avro: send JSON", rb"\xc3\x01"),
    ("a serialized Java object: set a JSON serializer", rb"\xac\xed\x00\x05"),
    ("UTF-32: send UTF-8", rb"\xff\xfe\x00\x00|\x00\x00\xfe\xff"),
    ("UTF-16: send UTF-8", rb"\xff\xfe|\xfe\xff"),
    ("a Python pickle: send JSON", rb"\x80[\x02-\x05].*\.\Z"),
)
_REGISTRY = re.compile(rb"\x00(?!\x00{4}).{4}", re.DOTALL)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_OF_PYTHON = re.compile(r"\s*(?:\{'|b['\"]\{|(?:\w+\()?\w+=(?:['<]|None\b))")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\s*")


def likely_cause(value: bytes) -> str:
    """Return what a value is instead of a JSON object, and the remedy; or nothing."""
    if not value:
        return "it is empty"
    return _of_bytes(value) or _of_text(value)


def _of_bytes(value: bytes) -> str:
    for name, beginning in _COMPRESSED:
        if re.match(beginning, value):
            return (
                f"it is compressed with {name}: send the JSON itself, and let Kafka's"
                " client compress it (compression.type)"
            )
    for cause, beginning in _FORMATS:
        if re.match(beginning, value, re.DOTALL):
            return f"it is {cause}"
    return _of_structure(value)


def _of_structure(value: bytes) -> str:
    for encoding in _WIDE if b"\0" in value[:4] else ():
        if _is_object(value.decode(encoding, "replace")):
            return f"it is {encoding[:6].upper()}: send UTF-8"
    if int.from_bytes(value[:4], "little") == len(value) and value.endswith(b"\0"):
        return "it is BSON: send JSON"
    if _REGISTRY.match(value):
        return (
            "it begins with a zero byte and the id of a schema, as the serializers of a"
            " schema registry write it (Avro, Protobuf, JSON Schema): send plain JSON"
        )
    if _is_message_pack(value):
        return "it is MessagePack: send JSON"
    return "it is compressed with zlib: send the JSON itself" if _is_zlib(value) else ""


def _of_text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        is_json = _is_object(value.decode("latin-1"))
        return "it is JSON in another encoding, such as Latin-1" if is_json else ""
    data = _read(text)
    if isinstance(data, str):
        if _is_object(data):
            return "it is a JSON text that holds the object: it was encoded twice"
        if _is_base64(data):
            return "it is a JSON text that holds the object in base64: send it as it is"
    if isinstance(data, list):
        return "it is a list: each request is a record of its own"
    if data is None:
        return _of_no_json(text)
    return ""


def _of_no_json(text: str) -> str:
    if _OF_PYTHON.match(text):
        return "it is Python's str() of an object: use json.dumps()"
    if _is_base64(text):
        return "it is base64: send the JSON itself"
    try:
        _, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return ""
    if text.lstrip()[end:].lstrip().startswith("{"):
        return "more than one object: each request is a record of its own"
    return ""


def _read(text: str) -> object:
    try:
        data: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data


def _is_object(text: str) -> bool:
    return isinstance(_read(text), dict)


def _is_base64(text: str) -> bool:
    if not _BASE64.fullmatch(text):
        return False
    try:
        raw = base64.b64decode(text.translate({45: 43, 95: 47}))
        return _is_object(raw.decode())
    except (binascii.Error, UnicodeDecodeError):
        return False


def _is_message_pack(value: bytes) -> bool:
    """Whether it is a small map whose first name is a short word."""
    if not re.match(rb"[\x81-\x8f][\xa1-\xbf]", value):
        return False
    name = value[2 : 2 + (value[1] & 0x1F)]
    return name.isascii() and name.decode().isidentifier()


def _is_zlib(value: bytes) -> bool:
    if value[:1] != b"\x78":
        return False
    try:
        return zlib.decompressobj().decompress(value, 16).lstrip().startswith(b"{")
    except zlib.error:
        return False
