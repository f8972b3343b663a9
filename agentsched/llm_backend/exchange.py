"""One question and its answer over HTTP: sent once, read no further than is of use."""

from contextlib import suppress
from dataclasses import dataclass

import httpx

from agentsched.llm_backend import http_errors
from agentsched.llm_backend.connections import TRANSPORT_ERRORS, name_of

MAX_ERROR_BODY_BYTES = 65_536


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


async def exchange(client: httpx.AsyncClient, question: HttpQuestion) -> HttpAnswer:
    """Return status and body of a 2xx.

    Raises:
        NoAnswerError: there was no head of an answer.
        CallFailed: everything else.
    """
    request = client.build_request(
        "POST", question.url, content=question.content, headers=question.headers
    )
    try:
        response = await client.send(request, stream=True)
    except TRANSPORT_ERRORS as error:
        raise NoAnswerError(error) from None
    try:
        return await _read(response, question.max_bytes)
    except TRANSPORT_ERRORS as error:
        raise http_errors.broken_off(name_of(error)) from None
    finally:
        # Its end may fail where the server did not read the whole request: no matter.
        with suppress(*TRANSPORT_ERRORS):
            await response.aclose()


async def _read(response: httpx.Response, max_bytes: int) -> HttpAnswer:
    """Read no more than a reply can hold; of an error no more than its words."""
    ok = response.is_success
    limit = max_bytes if ok else MAX_ERROR_BODY_BYTES
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if ok and encoding not in {"", "identity"}:
        raise http_errors.unwanted_encoding()
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            if ok:
                raise http_errors.too_long(limit)
            break
    if not ok:
        wait = response.headers.get("retry-after", "")
        raise http_errors.fault_of_status(response.status_code, bytes(body), wait)
    return HttpAnswer(response.status_code, bytes(body))
