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


def test_a_stream_is_not_asked_for() -> None:
    assert chat_body("gpt-4", Message(content="hi", stream=True))["stream"] is False


def test_a_request_without_a_question_is_rejected() -> None:
    with pytest.raises(CallFailed) as caught:
        chat_body("gpt-4", Message(id="1"))
    assert caught.value.code is ErrorCode.EMPTY_CONTENT
