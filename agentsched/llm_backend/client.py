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

import aiohttp
from typing_extensions import override

from agentsched.config.settings import EndpointSettings, Settings
from agentsched.errors import CallFailed, ConfigurationError
from agentsched.llm_backend import http_errors
from agentsched.llm_backend.api_keys import read_api_key
from agentsched.llm_backend.completion import read_completion
from agentsched.llm_backend.connection_errors import (
    came_before_the_answer,
    fault_of_connection,
    proxies_in,
)
from agentsched.llm_backend.connections import open_session
from agentsched.llm_backend.exchange import (
    HttpAnswer,
    HttpQuestion,
    NoAnswerError,
    exchange,
)
from agentsched.llm_backend.kept_connections import watch_connection
from agentsched.llm_backend.request_body import chat_body
from agentsched.protocols import Completer, Completion
from agentsched.types import Message
from agentsched.wire.codec import encode_message

logger = logging.getLogger(__name__)

ENVELOPE_BYTES = 65_536
"""What a completion may hold beside its text."""
ESCAPED_PER_BYTE = 3
"""JSON may write a character as escapes of three times its length in UTF-8."""


class HttpCompleter(Completer):
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
        self._sessions: dict[tuple[str | bool | None, ...], aiohttp.ClientSession] = {}

    @override
    async def complete(
        self,
        endpoint: EndpointSettings,
        model: str,
        request: Message,
        timeout_s: float,
        traceparent: str = "",
    ) -> Completion:
        content = encode_message(chat_body(model, request))
        headers = {"content-type": "application/json"}
        if traceparent:
            headers["traceparent"] = traceparent
        question = HttpQuestion(
            f"{endpoint.base_url}/chat/completions", content, headers, self._max_bytes
        )
        started, again = monotonic(), _Again()
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._post(endpoint, question, again)
            completion = read_completion(
                answer.body, monotonic() - started, answer.status
            )
        except TimeoutError:
            failure = http_errors.out_of_time(monotonic() - started)
            failure.resent = again.count
            raise failure from None
        except CallFailed as failure:
            failure.resent = again.count
            raise
        return replace(completion, resent=again.count)

    async def close(self) -> None:
        """Close all connections; idempotent."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def _post(
        self, endpoint: EndpointSettings, question: HttpQuestion, again: "_Again"
    ) -> HttpAnswer:
        """Send the request; once more where a kept connection proved stale.

        Servers close idle connections; a request that was under way then got nowhere.
        The second time a connection of its own is made, as the next kept one may be
        just as stale.
        """
        with watch_connection() as use:
            try:
                return await exchange(self._session(endpoint), question)
            except NoAnswerError as error:
                if not (use.reused and came_before_the_answer(error.error)):
                    raise fault_of_connection(error.error, self._environ) from None
        session = self._session(endpoint, keep=False)
        again.count += 1  # the server may have seen the first one: it counts
        try:
            return await exchange(session, question)
        except NoAnswerError as error:
            raise fault_of_connection(error.error, self._environ) from None

    def _session(
        self, endpoint: EndpointSettings, *, keep: bool = True
    ) -> aiohttp.ClientSession:
        place = (endpoint.base_url, endpoint.api_key_env, endpoint.api_key_file, keep)
        if place not in self._sessions:
            try:
                key = read_api_key(endpoint, self._environ)
            except ConfigurationError as error:
                logger.error("%s", error)  # noqa: TRY400  (it says all; no traceback)
                raise http_errors.keyless() from None
            if not self._sessions and (proxies := proxies_in(self._environ)):
                logger.warning("%s is set, but calls to models use no proxy", proxies)
            self._sessions[place] = open_session(self._pool, key, keep=keep)
        return self._sessions[place]


@dataclass(slots=True)
class _Again:
    """How often one request was sent again."""

    count: int = 0
