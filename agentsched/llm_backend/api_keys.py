"""Where an endpoint's API key comes from; keys leave this package in no form."""

from collections.abc import Mapping
from pathlib import Path

from agentsched.config.settings import EndpointSettings
from agentsched.config.text_faults import fault_of_key
from agentsched.errors import ConfigurationError

OPTIONAL_VARIABLE = "LLM_API_KEY"
"""The published variable; a local server needs no key, so it may be missing."""


def read_api_key(endpoint: EndpointSettings, environ: Mapping[str, str]) -> str | None:
    """Read the key of an endpoint, without the white space around it.

    Returns:
        None where the endpoint has none: no Authorization header is sent.

    Raises:
        ConfigurationError: the variable is not set, the file cannot be read, or what
            is there is no key. Says which one, never its value.
    """
    if endpoint.api_key_file:
        return _checked(_read_file(endpoint), f"the file {endpoint.api_key_file!r}")
    name = endpoint.api_key_env
    if not name:
        return None
    key = environ.get(name, "").strip()
    if not key and name == OPTIONAL_VARIABLE:
        return None
    return _checked(key, f"the environment variable {name}")


def _read_file(endpoint: EndpointSettings) -> str:
    try:
        return Path(str(endpoint.api_key_file)).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the API key of {endpoint.name} cannot be read from"
            f" {endpoint.api_key_file!r} ({type(error).__name__}): make the file"
            " readable for the worker, or name another one in `api_key_file`"
        ) from None


def _checked(key: str, where: str) -> str:
    if not key:
        raise ConfigurationError(
            f"{where} holds no API key: set it for the worker, or remove"
            " `api_key_env`/`api_key_file` from the endpoint if it needs none"
        )
    if fault := fault_of_key(key):
        raise ConfigurationError(f"the API key in {where} {fault}")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError(
            f"{where} holds something that cannot be an API key: only printable ASCII"
            " without spaces can be sent in a header"
        )
    return key
