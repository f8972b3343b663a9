"""Reading foreign JSON: any bytes, bounded."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsched.errors import CodecError, ErrorCode
from agentsched.wire.json import MAX_NESTING, read_object

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    # Bounded: hypothesis warns of examples that are too large to print, and which ones
    # it makes depends on the constants in all of our modules.
    max_leaves=10,
)


@given(st.binary())
def test_any_bytes_are_an_object_or_malformed(value):
    try:
        found = read_object(value).fields
    except CodecError as error:
        found = error.code
    assert isinstance(found, dict) or found is ErrorCode.MALFORMED


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_json_wrote_is_read_as_it_was(data):
    for ascii_only in (True, False):
        try:
            value = json.dumps(data, ensure_ascii=ascii_only, allow_nan=False).encode()
        except (UnicodeEncodeError, ValueError):
            continue
        found = read_object(value)
        assert found.fields == data
        assert not found.twice


@pytest.mark.parametrize("levels", [10_000, 500_000])
def test_however_deep_it_is_nested_it_is_refused(levels):
    with pytest.raises(CodecError):
        read_object(b'{"a":' * levels + b"1" + b"}" * levels)


@pytest.mark.parametrize(
    ("levels", "problem"),
    [(MAX_NESTING, ""), (MAX_NESTING + 1, "nested deeper than 100 levels")],
)
def test_the_levels_of_nesting_are_counted(levels, problem):
    value = b'{"a":' * levels + b"1" + b"}" * levels
    assert read_object(value).problem == problem


def test_many_brackets_beside_each_other_are_not_deep():
    assert read_object(b'{"a": [' + b"[]," * 1_000 + b"[]]}").problem == ""


def test_a_number_of_a_million_digits_is_not_converted():
    found = read_object(b'{"a": ' + b"9" * 1_000_000 + b"}")
    assert (found.fields, found.problem) == ({"a": 0}, "a number is too large")


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (b"1e400", "a number is too large"),
        (b"-1e400", "a number is too large"),
        (b"-" + b"9" * 400, "a number is too large"),
        (b"NaN", "NaN and Infinity are not JSON"),
        (b"-Infinity", "NaN and Infinity are not JSON"),
        (b"1e308", ""),
        (b"-" + b"9" * 308, ""),
        (b"1e-400", ""),
    ],
)
def test_numbers_that_other_programs_cannot_hold_are_a_problem(number, problem):
    assert read_object(b'{"a": [%s]}' % number).problem == problem


def test_of_a_name_that_stands_twice_the_last_counts_and_it_is_said():
    found = read_object(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}')
    assert found.fields == {"a": 3, "b": {"c": 2}}
    assert found.twice == {"a"}


def test_half_of_a_surrogate_pair_is_a_problem_and_a_whole_one_is_text():
    assert "surrogate" in read_object(b'{"a": ["\\uDBFF"]}').problem
    assert read_object(b'{"a": "\\ud83d\\ude00"}').fields == {"a": "\N{GRINNING FACE}"}


def test_a_byte_order_mark_is_ignored():
    assert read_object(b'\xef\xbb\xbf{"a": 1}').fields == {"a": 1}


def test_utf_16_is_not_guessed():
    with pytest.raises(CodecError, match="not UTF-8"):
        read_object('{"a": 1}'.encode("utf-16"))


def test_no_text_repeats_the_value():
    for value in (b"CANARY", b'{"CANARY": NaN}', b'["CANARY"]'):
        try:
            said = read_object(value).problem
        except CodecError as error:
            said = str(error)
        assert said
        assert "CANARY" not in said
