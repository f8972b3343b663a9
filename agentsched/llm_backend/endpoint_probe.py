"""Asks a model server whether it is there and takes our key; makes no completion."""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp

from agentsched.config.settings import ConnectionPoolSettings, EndpointSettings
from agentsched.errors import ConfigurationError
from agentsched.llm_backend.api_keys import read_api_key
from agentsched.llm_backend.connection_errors import proxies_in, reason_of
from agentsched.llm_backend.connections import TRANSPORT_ERRORS, open_session

PROBE_S = 10.0
"""SGLang's slowest cheap answer takes 1 s; a server that loads its model takes longer."""


def probe(
    endpoints: Sequence[EndpointSettings],
    pool: ConnectionPoolSettings,
    environ: Mapping[str, str],
) -> dict[str, int | str]:
    """Ask every endpoint for its models; blocks for up to 10 s, all at once.

    Args:
        endpoints: whom; each base URL is asked once.
        pool: how long a connection may take.
        environ: where API keys are.

    Returns:
        By base URL the HTTP status, or a sentence on why there is none.
    """
    return asyncio.run(_probe_all({e.base_url: e for e in endpoints}, pool, environ))


async def _probe_all(
    endpoints: Mapping[str, EndpointSettings],
    pool: ConnectionPoolSettings,
    environ: Mapping[str, str],
) -> dict[str, int | str]:
    answers = await asyncio.gather(
        *(_probe(endpoint, pool, environ) for endpoint in endpoints.values())
    )
    return dict(zip(endpoints, answers, strict=True))


async def _probe(
    endpoint: EndpointSettings, pool: ConnectionPoolSettings, environ: Mapping[str, str]
) -> int | str:
    try:
        key = read_api_key(endpoint, environ)
    except ConfigurationError as error:
        return str(error)
    session = open_session(pool, key, keep=False)
    try:
        async with asyncio.timeout(PROBE_S):
            url = f"{endpoint.base_url}/models"
            async with session.get(url, allow_redirects=False) as answer:
                return answer.status
    except aiohttp.ServerTimeoutError as error:  # of the connection
        return _unreachable(error, environ)
    except TimeoutError:
        return f"no answer within {PROBE_S:g} s"
    except TRANSPORT_ERRORS as error:
        return _unreachable(error, environ)
    finally:
        await session.close()


def _unreachable(error: Exception, environ: Mapping[str, str]) -> str:
    proxies = proxies_in(environ)
    unused = f" ({proxies} is set, but calls use no proxy)" if proxies else ""
    return f"cannot be reached: {reason_of(error)}{unused}"
