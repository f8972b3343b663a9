"""What is known before anything starts, and without a server."""

from pathlib import Path

import pytest

from agentsched.config.section import named
from agentsched.config.settings import Settings
from agentsched.errors import ConfigurationError
from agentsched.preflight import insist, preflight
from tests.support.requests import settings
from tests.support.tls import Authority, openssl


def found(**changes):
    return {named(path): text for path, text in preflight(settings(**changes))}


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def rediss(**files):
    return {"url": "rediss://h"} | {key: str(file) for key, file in files.items()}


def test_settings_of_the_tests_are_fine():
    assert found() == {}
    insist(settings())


def test_without_a_model_nothing_can_run():
    with pytest.raises(ConfigurationError, match="models: none is configured"):
        insist(Settings())


def test_everything_is_said_at_once():
    problems = found(
        kafka={"properties": {"foo": 1, "bar": 2}},
        redis=rediss(tls_ca_file="/no/such/file"),
    )
    assert set(problems) == {
        "kafka.properties.foo",
        "kafka.properties.bar",
        "redis.tls_ca_file",
    }
    assert "No such file" in problems["redis.tls_ca_file"]


def test_certificates_that_are_some_are_fine(authority: Authority):
    files = {"tls_cert_file": authority.cert, "tls_key_file": authority.key}
    assert found(redis=rediss(tls_ca_file=authority.ca, **files)) == {}


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path, authority: Authority):
    text = tmp_path / "ca.pem"
    text.write_text("no certificate")
    assert set(found(redis=rediss(tls_ca_file=text))) == {"redis.tls_ca_file"}
    files = {"tls_cert_file": text, "tls_key_file": authority.key}
    assert set(found(redis=rediss(**files))) == {"redis.tls_cert_file"}


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    tmp_path: Path, authority: Authority
):
    locked = tmp_path / "locked.pem"
    openssl(
        *("pkcs8", "-topk8", "-passout", "pass:hunter2"),
        *("-in", str(authority.key), "-out", str(locked)),
    )
    files = {"tls_cert_file": authority.cert, "tls_key_file": locked}
    problems = found(redis=rediss(**files))
    assert "has a password" in problems["redis.tls_cert_file"]
