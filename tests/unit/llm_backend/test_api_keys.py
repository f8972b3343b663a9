"""Where API keys come from."""

from pathlib import Path

import pytest

from agentsched.config.settings import EndpointSettings
from agentsched.errors import ConfigurationError
from agentsched.llm_backend.api_keys import read_api_key

BASE_URL = "http://127.0.0.1:1/v1"


def endpoint(**where: str) -> EndpointSettings:
    return EndpointSettings(base_url=BASE_URL, **where)


def test_an_endpoint_may_have_no_key() -> None:
    assert read_api_key(endpoint(), {}) is None


def test_a_variable_holds_the_key() -> None:
    assert read_api_key(endpoint(api_key_env="K"), {"K": "sk-1"}) == "sk-1"


def test_white_space_around_a_key_is_dropped() -> None:
    assert read_api_key(endpoint(api_key_env="K"), {"K": "\tsk-1\r\n"}) == "sk-1"


def test_a_file_holds_the_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-2\n")
    assert read_api_key(endpoint(api_key_file=str(file)), {}) == "sk-2"


@pytest.mark.parametrize("environ", [{}, {"K": ""}, {"K": " \n"}])
def test_a_missing_variable_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="variable K holds no API key"):
        read_api_key(endpoint(api_key_env="K"), environ)


def test_the_published_variable_may_be_missing() -> None:
    assert read_api_key(endpoint(api_key_env="LLM_API_KEY"), {}) is None


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match="/no/such/file"):
        read_api_key(endpoint(api_key_file="/no/such/file"), {})


@pytest.mark.parametrize("key", ["sk 1", "sk-\N{EM DASH}", "a\nb"])
def test_what_cannot_be_sent_is_refused_without_its_value(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_api_key(endpoint(api_key_env="K"), {"K": key})
    assert key not in str(caught.value)
