"""One question and its answer over HTTP: sent once, read no further than is of use."""

import io
from dataclasses import dataclass

import aiohttp

from agentsched.llm_backend import http_errors
from agentsched.llm_backend.connections import TRANSPORT_ERRORS

MAX_ERROR_BODY_BYTES = 65_536
LARGE_BYTES = 1_048_576
"""aiohttp writes what is larger in pieces, and wants it as a file."""


@dataclass(frozen=True, slots=True)
class HttpQuestion:
    """One call, as it is sent."""

    url: str
    content: bytes
    headers: dict[str, str]
    max_bytes: int
    """Of an answer that a reply can hold."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came with a 2xx."""

    status: int
    body: bytes


class NoAnswerError(Exception):
    """No head of an answer came, or none that is HTTP."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


async def exchange(
    session: aiohttp.ClientSession, question: HttpQuestion
) -> HttpAnswer:
    """Return status and body of a 2xx.

    Raises:
        NoAnswerError: there was no head of an answer.
        CallFailed: everything else.
    """
    content = question.content
    large = len(content) > LARGE_BYTES
    try:
        response = await session.post(
            question.url,
            data=io.BytesIO(content) if large else content,
            headers=question.headers,
            allow_redirects=False,
        )
    except TRANSPORT_ERRORS as error:
        raise NoAnswerError(error) from None
    try:
        return await _read(response, question.max_bytes)
    except TRANSPORT_ERRORS as error:
        raise http_errors.broken_off(type(error).__name__) from None
    finally:
        response.release()  # what is not read to its end is closed


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> HttpAnswer:
    """Read no more than a reply can hold; of an error no more than its words."""
    ok = 200 <= response.status < 300  # noqa: PLR2004
    limit = max_bytes if ok else MAX_ERROR_BODY_BYTES
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if ok and encoding not in {"", "identity"}:
        raise http_errors.unwanted_encoding()
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            if ok:
                raise http_errors.too_long(limit)
            break
    if not ok:
        wait = response.headers.get("retry-after", "")
        raise http_errors.fault_of_status(response.status, bytes(body), wait)
    return HttpAnswer(response.status, bytes(body))
