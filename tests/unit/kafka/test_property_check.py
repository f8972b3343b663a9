"""What librdkafka refuses is known before anything is sent."""

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.property_check import refused_properties


def refused(**properties):
    keys = {key.replace("_", "."): value for key, value in properties.items()}
    return refused_properties(KafkaSettings(properties=keys))


def test_keys_that_are_fine_are_not_refused():
    found = refused(
        security_protocol="SASL_SSL",
        sasl_mechanisms="SCRAM-SHA-512",
        sasl_username="u",
        sasl_password="p",
    )
    assert found == {}


def test_every_wrong_key_is_named():
    found = refused(foo=1, security_protocol="sasl_plain", linger_ms=3)
    assert set(found) == {"foo", "security.protocol"}
    assert "No such configuration property" in found["foo"]


def test_a_login_without_a_password_is_said_and_blamed_on_no_other_key():
    found = refused(security_protocol="SASL_SSL", sasl_mechanisms="PLAIN")
    assert set(found) == {""}
    assert "sasl.password" in found[""]


def test_what_only_shows_together_is_said_without_a_key():
    found = refused(security_protocol="SSL", ssl_ca_location="/no/such/file")
    assert set(found) == {""}
    assert "ssl.ca.location" in found[""]
