"""What settings cannot know of themselves: asks libraries and files, calls no server.

Bridge, worker and `agentsched config check` ask it before anything starts, so that a
wrong key is an error at once and not when the first reply is to be sent.
"""

import os
import ssl
from collections.abc import Iterator, Mapping

from agentsched.config.section import Path, named
from agentsched.config.settings import EndpointSettings, RedisSettings, Settings
from agentsched.errors import ConfigurationError
from agentsched.kafka.property_check import refused_properties
from agentsched.llm_backend.api_keys import read_api_key


def preflight(
    settings: Settings, environ: Mapping[str, str] | None = None
) -> list[tuple[Path, str]]:
    """Return (setting, what is wrong and what to do) of everything that would fail.

    Blocks for some milliseconds.

    Args:
        settings: valid by themselves.
        environ: where API keys may be; None: this process's environment. A key that is
            not here is no problem: only workers need them.
    """
    keys = _keys(settings, os.environ if environ is None else environ)
    certificates = _certificates(settings.redis)
    return [*_models(settings), *_kafka(settings), *certificates, *keys]


def insist(settings: Settings) -> None:
    """Refuse settings that no bridge and no worker can work with.

    Raises:
        ConfigurationError: names everything that is wrong.
    """
    if problems := preflight(settings):
        lines = [f"{named(path)}: {text}" for path, text in problems]
        raise ConfigurationError("\n  ".join(["the configuration:", *lines]))


def _models(settings: Settings) -> Iterator[tuple[Path, str]]:
    if not settings.models:
        fix = "list at least one under `models:` (name, endpoints), or name one in `agents:`"
        yield ("models",), f"none is configured: {fix}"


def _kafka(settings: Settings) -> Iterator[tuple[Path, str]]:
    at = ("kafka", "properties")
    for key, words in refused_properties(settings.kafka).items():
        yield (*at, key) if key else at, f"librdkafka refuses it: {words}"


def _keys(settings: Settings, environ: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    told: set[str] = set()
    for at, model in enumerate(settings.models):
        for place, endpoint in enumerate(model.endpoints):
            if not _has_key_here(endpoint, environ):
                continue
            try:
                read_api_key(endpoint, environ)
            except ConfigurationError as error:
                key = "api_key_file" if endpoint.api_key_file else "api_key_env"
                if str(error) not in told:
                    yield ("models", at, "endpoints", place, key), str(error)
                told.add(str(error))


def _has_key_here(endpoint: EndpointSettings, environ: Mapping[str, str]) -> bool:
    if endpoint.api_key_file:
        return os.access(endpoint.api_key_file, os.R_OK)
    return bool(environ.get(endpoint.api_key_env or ""))


def _certificates(settings: RedisSettings) -> Iterator[tuple[Path, str]]:
    if settings.tls_ca_file:
        try:
            ssl.create_default_context(cafile=settings.tls_ca_file)
        except OSError as error:
            yield ("redis", "tls_ca_file"), _unreadable(error)
    if settings.tls_cert_file and settings.tls_key_file:
        try:
            context = ssl.create_default_context()
            context.load_cert_chain(
                settings.tls_cert_file, settings.tls_key_file, password=_no_password
            )
        except (OSError, ValueError) as error:
            yield ("redis", "tls_cert_file"), f"with its key: {_unreadable(error)}"


def _no_password() -> str:
    # Without this OpenSSL would ask for one on the terminal.
    raise ValueError("the key has a password; it must have none")


def _unreadable(error: Exception) -> str:
    what = error.strerror if isinstance(error, OSError) else str(error)
    return (
        f"cannot be used ({what or type(error).__name__}): it must be a PEM file here"
    )
