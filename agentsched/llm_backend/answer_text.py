"""What a message of a model says and what it thought, in the shapes that servers use; pure."""

from collections.abc import Iterable
from typing import Any

from agentsched.errors import CallFailed
from agentsched.llm_backend import no_completion
from agentsched.llm_backend.server_json import clean_text

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Where a message has them: DeepSeek, SGLang; vLLM, OpenRouter, Groq; Ollama."""
_OF_A_THOUGHT = ("thinking", "reasoning", "reasoning_content", "text", "summary")
"""Where a part of kind thinking or reasoning has its text."""
_OF_A_TEXT = ("text", "refusal", "value")
_MAX_LEVELS = 4
"""Mistral: a thinking part holds a list of text parts."""


def content_in(message: dict[str, Any], status: int, *, needed: bool) -> str | None:
    """Return the text; a refusal is an answer too, and stands in its place.

    Args:
        message: of a choice.
        status: the HTTP status that it came with.
        needed: whether there is nothing else to answer with, such as a call.

    Raises:
        CallFailed: UPSTREAM_INVALID, what stands there holds no text, and is needed.
    """
    try:
        return _content_in(message, status)
    except CallFailed:
        if needed:
            raise
        return None


def _content_in(message: dict[str, Any], status: int) -> str | None:
    content = message.get("content")
    if content is None:
        content = message.get("refusal")
    if content is None or content == []:
        return None
    if isinstance(content, dict):
        content = [content]
    if isinstance(content, str):
        return clean_text(content)
    if not isinstance(content, list):
        raise no_completion.no_text("content that is no text", status)
    said = [part for part in content if not _is_thought(part)]
    texts = [text for part in said for text in _texts(part, _OF_A_TEXT)]
    if said and not texts:
        raise no_completion.no_text("content without a part that is text", status)
    return clean_text("".join(texts)) if said else None


def reasoning_in(message: dict[str, Any]) -> str | None:
    """Return what the model thought before it answered, where the server says it."""
    for name in _THOUGHTS:
        if text := _joined([message.get(name)]):
            return text
    content = message.get("content")
    parts = content if isinstance(content, list) else [content]
    return _joined(part for part in parts if _is_thought(part)) or None


def _joined(parts: Iterable[object]) -> str:
    texts = (text for part in parts for text in _texts(part, _OF_A_THOUGHT))
    return clean_text("".join(texts))


def _is_thought(part: object) -> bool:
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and ("thinking" in kind or "reasoning" in kind)


def _texts(
    part: object, names: tuple[str, ...], levels: int = _MAX_LEVELS
) -> list[str]:
    """Return the texts of a part, of the parts in it, or of a list of parts."""
    if isinstance(part, str):
        return [part]
    if not levels:
        return []
    if isinstance(part, list):
        return [text for each in part for text in _texts(each, names, levels - 1)]
    if isinstance(part, dict):
        for name in names:
            if texts := _texts(part.get(name), names, levels - 1):
                return texts
    return []
