"""One LLM call over HTTP: `HttpCompleter`, the real `Completer`.

It makes one attempt. Retries, other endpoints and limits are the scheduler's; the one
exception is a kept connection that the server had closed before the call.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import monotonic

import httpx

from agentsched.config.settings import EndpointSettings, Settings
from agentsched.errors import CallFailed, ConfigurationError
from agentsched.llm_backend import call_errors
from agentsched.llm_backend.api_keys import read_api_key
from agentsched.llm_backend.completion import read_completion
from agentsched.llm_backend.connections import (
    TRANSPORT_ERRORS,
    came_before_the_answer,
    name_of,
    open_client,
    watch_connection,
)
from agentsched.llm_backend.request_body import chat_body
from agentsched.protocols import Completion
from agentsched.types import Message
from agentsched.wire.codec import encode_message

logger = logging.getLogger(__name__)

ENVELOPE_BYTES = 65_536
"""What a completion may hold beside its text."""
ESCAPED_PER_BYTE = 3
"""JSON may write a character as escapes of three times its length in UTF-8."""
ERROR_BODY_MAX_BYTES = 65_536
HTTP_OK = 200


class HttpCompleter:
    """Calls OpenAI-compatible servers; all methods belong to one asyncio loop."""

    def __init__(
        self, settings: Settings, environ: Mapping[str, str] | None = None
    ) -> None:
        """Opens nothing.

        Args:
            settings: connection pool and limits.
            environ: where API keys are; None: this process's environment.
        """
        self._pool = settings.connection_pool
        self._max_bytes = (
            settings.limits.reply_max_bytes * ESCAPED_PER_BYTE + ENVELOPE_BYTES
        )
        self._environ = os.environ if environ is None else environ
        self._clients: dict[tuple[str | bool | None, ...], httpx.AsyncClient] = {}

    async def complete(
        self, endpoint: EndpointSettings, model: str, request: Message, timeout_s: float
    ) -> Completion:
        """See `Completer`."""
        content = encode_message(chat_body(model, request))
        started, again = monotonic(), _Again()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._post(endpoint, content, again)
            completion = read_completion(answer, monotonic() - started)
        except TimeoutError:
            failure = call_errors.out_of_time(monotonic() - started)
            failure.resent = again.count
            raise failure from None
        except CallFailed as failure:
            failure.resent = again.count
            raise
        return replace(completion, resent=again.count)

    async def close(self) -> None:
        """Close all connections; again is harmless."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.aclose()

    async def _post(
        self, endpoint: EndpointSettings, content: bytes, again: "_Again"
    ) -> bytes:
        """Send the request; once more where a kept connection proved stale.

        Servers close idle connections; a request that was under way then got nowhere.
        The second time a connection of its own is made, as the next kept one may be
        just as stale.
        """
        url = f"{endpoint.base_url}/chat/completions"
        with watch_connection() as use:
            try:
                return await _exchange(
                    self._client(endpoint), url, content, self._max_bytes
                )
            except _NoAnswerError as error:
                if not use.reused:
                    raise call_errors.unreachable(error.reason) from None
        client = self._client(endpoint, keep=False)
        again.count += 1  # the server may have seen the first one: it counts
        try:
            return await _exchange(client, url, content, self._max_bytes)
        except _NoAnswerError as error:
            raise call_errors.unreachable(error.reason) from None

    def _client(
        self, endpoint: EndpointSettings, *, keep: bool = True
    ) -> httpx.AsyncClient:
        place = (endpoint.base_url, endpoint.api_key_env, endpoint.api_key_file, keep)
        if place not in self._clients:
            try:
                key = read_api_key(endpoint, self._environ)
            except ConfigurationError as error:
                logger.error("%s", error)  # noqa: TRY400  (it says all; no traceback)
                raise call_errors.keyless() from None
            self._clients[place] = open_client(self._pool, key, keep=keep)
        return self._clients[place]


@dataclass(slots=True)
class _Again:
    """How often one request was sent again."""

    count: int = 0


class _NoAnswerError(Exception):
    """Not one byte of an answer came."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def _exchange(
    client: httpx.AsyncClient, url: str, content: bytes, max_bytes: int
) -> bytes:
    """Return the body of a 200.

    Raises:
        _NoAnswerError: the connection ended before the answer began.
        CallFailed: everything else.
    """
    headers = {"content-type": "application/json"}
    request = client.build_request("POST", url, content=content, headers=headers)
    try:
        response = await client.send(request, stream=True)
    except TRANSPORT_ERRORS as error:
        if came_before_the_answer(error):
            raise _NoAnswerError(name_of(error)) from None
        raise call_errors.no_http(name_of(error)) from None
    try:
        return await _read(response, max_bytes)
    except TRANSPORT_ERRORS as error:
        raise call_errors.broken_off(name_of(error)) from None
    finally:
        await response.aclose()


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """Read no more than a reply can hold; of an error no more than its words."""
    ok = response.status_code == HTTP_OK
    limit = max_bytes if ok else ERROR_BODY_MAX_BYTES
    if ok and response.headers.get("content-encoding", "identity") != "identity":
        raise call_errors.unwanted_encoding()
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            if ok:
                raise call_errors.too_long(limit)
            break
    if not ok:
        wait = response.headers.get("retry-after", "")
        raise call_errors.fault_of_status(response.status_code, bytes(body), wait)
    return bytes(body)
