"""Which values are shown."""

import pytest

from agentsched.config.effective import effective
from agentsched.config.loader import parse_settings
from agentsched.config.mask import is_secret_key, masked
from agentsched.config.section import named


def shown(text):
    values = effective(parse_settings(text))
    return {named(value.path): value.value for value in values}


@pytest.mark.parametrize(
    "key",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.jaas.config",
        "some.token",
    ],
)
def test_keys_of_secrets_are_known(key):
    assert is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "security.protocol",
        "sasl.mechanisms",
        "sasl.username",
        "ssl.ca.location",
        "ssl.key.location",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.token.endpoint.url",
        "linger.ms",
    ],
)
def test_other_keys_are_shown(key):
    assert not is_secret_key(key)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("http://u:p@w@h/v1", "http://***@h/v1"),
        ("u:p@h:9092", "***@h:9092"),
        ("http://h/v1?key=x", "http://h/v1?***"),
        ("planner@example.com", "planner@example.com"),
        ("what?", "what?"),
    ],
)
def test_logins_and_queries_are_hidden(text, safe):
    assert masked(text) == safe


def test_the_effective_configuration_hides_every_secret():
    text = """
redis:
  url: "sentinel://u:hunter2@h"
  sentinel_master: m
  sentinel_password: hunter2
kafka:
  bootstrap_servers: ["u:hunter2@h:1"]
  properties: {sasl.username: u, sasl.password: hunter2}
scaling: {webhook: "http://u:hunter2@h", list: ["http://u:hunter2@h"]}
"""
    found = shown(text)
    assert "hunter2" not in str(found)
    assert found["redis.url"] == "sentinel://u:***@h:26379/0"
    assert found["redis.sentinel_password"] == "***"
    assert found["kafka.properties.sasl.username"] == "u"
    assert found["kafka.properties.sasl.password"] == "***"
