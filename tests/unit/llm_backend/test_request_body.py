"""What a server is asked."""

import pytest

from agentsched.errors import CallFailed, ErrorCode
from agentsched.llm_backend.request_body import chat_body
from agentsched.types import Message

PARTS = [
    {"type": "text", "text": "what is this?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
]


def test_text_is_one_user_message() -> None:
    body = chat_body("gpt-4", Message(content="hi"))
    assert body == {
        "model": "gpt-4",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


def test_content_parts_are_one_user_message() -> None:
    body = chat_body("gpt-4", Message(content=PARTS))
    assert body["messages"] == [{"role": "user", "content": PARTS}]


def test_messages_win_over_content() -> None:
    messages = [{"role": "system", "content": "be brief"}]
    body = chat_body("gpt-4", Message(content="hi", messages=messages))
    assert body["messages"] == messages


def test_params_are_sent() -> None:
    params = {"temperature": 0, "max_tokens": 5, "tools": [{"type": "function"}]}
    body = chat_body("gpt-4", Message(content="hi", params=params))
    assert params.items() <= body.items()


@pytest.mark.parametrize("name", ["model", "messages", "stream", "n", "base_url"])
def test_params_override_nothing_that_the_scheduler_decides(name: str) -> None:
    plain = chat_body("gpt-4", Message(content="hi"))
    assert chat_body("gpt-4", Message(content="hi", params={name: "x"})) == plain


def asked(**params: object) -> dict[str, object]:
    body = chat_body("gpt-4", Message(content="hi", params=params))
    return {k: v for k, v in body.items() if k not in {"model", "messages", "stream"}}


def test_a_parameter_that_is_null_is_left_out() -> None:
    """Case Q: llama.cpp #25515."""
    assert asked(temperature=None, seed=0, stop=[], user="", logprobs=False) == {
        "seed": 0,
        "stop": [],
        "user": "",
        "logprobs": False,
    }


def test_what_is_null_within_a_parameter_is_sent() -> None:
    tools = [{"function": {"parameters": {"enum": ["a", None]}}}]
    assert asked(tools=tools) == {"tools": tools}


@pytest.mark.parametrize(
    "extra", [{"top_k": 5}, {"top_k": 5, "min_p": None}, {"top_k": 5, "temperature": 0}]
)
def test_extra_parameters_go_beside_the_others(extra: dict[str, object]) -> None:
    """Case R: dify-vllm-provider PR 32."""
    assert asked(temperature=0, extra_body=extra) == {"temperature": 0, "top_k": 5}


@pytest.mark.parametrize("extra", [None, {}])
def test_no_extra_parameters_are_none(extra: object) -> None:
    assert asked(extra_body=extra) == {}


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"model": "x"}, "params.extra_body.model"),
        ({"messages": []}, "params.extra_body.messages"),
        ({"stream": True}, "params.extra_body.stream"),
        ({"n": 2}, "params.extra_body.n"),
        ({"priority": -5}, "params.extra_body.priority"),
        ({"base_url": "http://x"}, "params.extra_body.base_url"),
        ({"extra_body": {"top_k": 5}}, "params.extra_body.extra_body"),
        ({"temperature": 1}, "params.extra_body.temperature"),
        ([{"top_k": 5}], "params.extra_body must be an object"),
        ("top_k", "params.extra_body must be an object"),
        (0, "params.extra_body must be an object"),
    ],
)
def test_extra_parameters_that_contradict_are_refused_by_name(
    extra: object, named: str
) -> None:
    """Case R: dify-vllm-provider PR 32."""
    with pytest.raises(CallFailed) as caught:
        asked(temperature=0, extra_body=extra)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert named in caught.value.detail


def test_a_key_that_may_be_a_text_is_not_repeated() -> None:
    params = {"my secret": 1, "extra_body": {"my secret": 2}}
    with pytest.raises(CallFailed, match=r"params\.extra_body: a key") as caught:
        asked(**params)
    assert "secret" not in caught.value.detail


def test_a_stream_is_not_asked_for() -> None:
    assert chat_body("gpt-4", Message(content="hi", stream=True))["stream"] is False


def test_a_request_without_a_question_is_rejected() -> None:
    with pytest.raises(CallFailed) as caught:
        chat_body("gpt-4", Message(id="1"))
    assert caught.value.code is ErrorCode.EMPTY_CONTENT
