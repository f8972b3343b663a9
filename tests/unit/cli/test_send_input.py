"""Requests from text: the format is recognised, and a bad line costs only itself."""

import io
import itertools

import pytest

from agentsched.cli import send_input
from agentsched.cli.send_input import (
    Format,
    from_arguments,
    parse,
    parse_params,
    read_lines,
    recognise,
    with_defaults,
)
from agentsched.types import Message

SECRET = "the secret prompt"


def read(text, format_=None):
    found, lines = recognise(read_lines(io.StringIO(text)))
    return found, list(parse(lines, format_ or found))


def problems(asked):
    return [(one.place, one.problem) for one in asked if one.problem]


def test_lines_of_plain_text_are_prompts_with_the_numbers_of_their_lines():
    found, asked = read("first\n\n  second  \n")
    assert found is Format.TEXT
    assert [(one.place, one.request.content) for one in asked] == [
        (1, "first"),
        (3, "second"),
    ]


def test_a_json_object_in_the_first_line_makes_all_of_them_requests():
    found, asked = read('{"content": "a", "priority": "low"}\n{"content": "b"}\n')
    assert found is Format.JSON
    assert [one.request.content for one in asked] == ["a", "b"]
    assert asked[0].request.priority == "low"


@pytest.mark.parametrize("first", ['"text"', "[1]", "{no json}", "3"])
def test_what_is_no_object_is_text(first):
    assert read(first)[0] is Format.TEXT


def test_the_format_can_be_told():
    assert read('{"content": "a"}', Format.TEXT)[1][0].request.content == (
        '{"content": "a"}'
    )
    assert problems(read("plain", Format.JSON)[1]) == [(1, "not a JSON object")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{SECRET} no json", "not a JSON object"),
        ('{"prioirty": "high"}', "unknown field 'prioirty'"),
        (
            f'{{"content": "x", "ttl_s": "{SECRET}"}}',
            "ttl_s: must be a number, not text",
        ),
        ('{"status": "completed"}', "a reply (it has a status), no request"),
    ],
)
def test_a_bad_line_is_named_without_its_content_and_the_next_is_read(line, problem):
    _, asked = read(f'{{"content": "a"}}\n{line}\n{{"content": "b"}}')
    assert problems(asked) == [(2, problem)]
    assert [one.request.content for one in asked if one.request] == ["a", "b"]


def test_fields_that_are_null_say_nothing():
    _, (asked,) = read('{"content": "x", "status": null, "model_id": null}')
    assert with_defaults(asked.request, {"model_id": "m"}).model_id == "m"


def test_what_a_request_says_itself_wins_over_the_options():
    request = with_defaults(
        Message(content="x", priority="low"), {"priority": "high", "ttl_s": 5.0}
    )
    assert (request.priority, request.ttl_s, request.content) == ("low", 5.0, "x")


def test_reading_ends_where_the_text_is_not_utf_8():
    stream = io.TextIOWrapper(io.BytesIO(b"good\n\xff\xfe\nnever\n"), "utf-8")
    stream._CHUNK_SIZE = 5
    asked = list(parse(read_lines(stream), Format.TEXT))
    assert asked[0].request.content == "good"
    assert problems(asked)[0][1].startswith("not UTF-8")


def test_reading_ends_at_a_line_without_end(monkeypatch):
    monkeypatch.setattr(send_input, "MAX_LINE_CHARACTERS", 10)
    _, asked = read("good\n" + "x" * 20)
    assert problems(asked) == [(2, "far too long; reading ends")]


def test_a_line_is_only_read_when_it_is_asked_for():
    lines = read_lines(io.StringIO("1\n2\n3\n"))
    _, lines = recognise(lines)
    assert [line.text for line in itertools.islice(lines, 2)] == ["1", "2"]


def test_nothing_is_no_request():
    assert read("\n \n")[1] == []


def test_each_argument_is_a_prompt():
    assert [(a.place, a.request.content) for a in from_arguments(["a", "b"])] == [
        (1, "a"),
        (2, "b"),
    ]


def test_parameters_are_json_or_text():
    pairs = ["temperature=0.2", "stop=END", "logprobs=true", "x=a=b", "e="]
    assert parse_params(pairs) == {
        "temperature": 0.2,
        "stop": "END",
        "logprobs": True,
        "x": "a=b",
        "e": "",
    }


@pytest.mark.parametrize("pair", ["temperature", "=1"])
def test_what_is_no_pair_is_named(pair):
    with pytest.raises(ValueError, match="write name=value"):
        parse_params([pair])
