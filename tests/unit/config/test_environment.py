"""What variables set, and over what they win."""

import json

import pytest

from agentsched.config.catalogue import walk
from agentsched.config.environment import PUBLISHED, has_variable, variable
from agentsched.config.loader import parse_settings
from agentsched.config.section import named
from agentsched.errors import ConfigurationError

FILE = """
kafka: {output_topic: from_file}
models:
  - name: m
    endpoints: [{base_url: "http://h/v1", capacity: 2}]
  - name: n
    endpoints: [{base_url: "http://i/v1", capacity: 2}]
agents: [{id: a}]
"""
ALL = [(path, setting) for path, setting in walk() if has_variable(setting)]


def loaded(text=FILE, **environ):
    return parse_settings(text, source="agentsched.yaml", environ=environ)


def settings(text=FILE, **environ):
    return loaded(text, **environ).settings


def refused(text=FILE, **environ):
    with pytest.raises(ConfigurationError) as error:
        loaded(text, **environ)
    return str(error.value)


SENTINELS = {"REDIS_URL": "sentinel://h", "AGENTSCHED__REDIS__SENTINEL_MASTER": "m"}
TLS = {"REDIS_URL": "rediss://h"}
PAIR = TLS | {
    "AGENTSCHED__REDIS__TLS_CERT_FILE": "c",
    "AGENTSCHED__REDIS__TLS_KEY_FILE": "k",
}
TOGETHER = {
    "sentinel_master": SENTINELS,
    "sentinel_username": SENTINELS,
    "sentinel_password": SENTINELS,
    "tls": SENTINELS,
    "tls_ca_file": TLS,
    "tls_cert_file": PAIR,
    "tls_key_file": PAIR,
}
"""Settings that mean nothing alone."""


def valid_text(setting):
    """A value of a setting as a variable has it."""
    if setting.name == "endpoints":
        return '[{"base_url": "http://j/v1"}]'
    value = setting.default if setting.example is None else setting.example
    if isinstance(value, str) and value:
        return value
    return {"null": "1", '""': "x", "[]": "[]"}.get(
        json.dumps(value), json.dumps(value)
    )


@pytest.mark.parametrize(("path", "setting"), ALL, ids=[named(path) for path, _ in ALL])
def test_every_setting_has_a_variable(path, setting):
    others = TOGETHER.get(setting.name, {})
    text = (
        FILE
        if path[0] != "default_endpoint"
        else "default_endpoint: {api_key_env: null}"
    )
    found = loaded(text, **others | {variable(path): valid_text(setting)})
    assert found.draft.origin(path).variable == variable(path)


def test_a_variable_wins_over_the_file_and_the_file_over_the_default():
    assert settings(text="").kafka.output_topic == "results"
    assert settings().kafka.output_topic == "from_file"
    assert settings(OUTPUT_TOPIC="published").kafka.output_topic == "published"
    both = {"OUTPUT_TOPIC": "published", "AGENTSCHED__KAFKA__OUTPUT_TOPIC": "ours"}
    assert settings(**both).kafka.output_topic == "ours"


def test_a_variable_sets_its_key_and_leaves_the_section():
    text = "redis: {url: 'rediss://h', tls_ca_file: ca.pem}"
    redis = settings(text, REDIS_URL="rediss://other:1/2").redis
    assert (redis.url, redis.tls_ca_file) == ("rediss://other:1/2", "ca.pem")


@pytest.mark.parametrize("name", [*PUBLISHED, "AGENTSCHED__LIMITS__TTL_S"])
def test_an_empty_variable_counts_as_not_set(name):
    assert settings(**{name: ""}) == settings()


def test_numbers_and_switches_are_read_from_text():
    environ = {
        "AGENTSCHED__LIMITS__TTL_S": "30",
        "AGENTSCHED__LIMITS__HORIZON_S": " 7\n",
        "AGENTSCHED__AGENTS__0__BLOCKED": "true",
    }
    found = settings(**environ)
    assert (found.limits.ttl_s, found.limits.horizon_s) == (30.0, 7)
    assert found.agents[0].blocked is True


@pytest.mark.parametrize("text", ["a, b,c", '["a", "b", "c"]'])
def test_a_list_is_given_with_commas_or_as_json(text):
    found = settings(AGENTSCHED__KAFKA__REPLY_TOPICS=text)
    assert found.kafka.reply_topics == ("a", "b", "c")


def test_a_list_of_sections_is_given_as_json():
    agents = '[{"id": "x", "max_priority": "low"}, {"id": "y"}]'
    found = settings(AGENTSCHED__AGENTS=agents)
    assert [(a.id, a.max_priority) for a in found.agents] == [
        ("x", "low"),
        ("y", "high"),
    ]


def test_an_item_of_a_list_is_changed_by_its_place():
    found = settings(AGENTSCHED__MODELS__1__ENDPOINTS__0__CAPACITY="9")
    assert [model.capacity for model in found.models] == [2, 9]


def test_an_item_of_a_list_that_is_given_as_json_is_changed_by_its_place_too():
    environ = {
        "AGENTSCHED__AGENTS": '[{"id": "x"}]',
        "AGENTSCHED__AGENTS__0__GROUP": "g",
    }
    assert settings(**environ).agents[0].group == "g"


def test_a_change_by_place_leaves_what_shares_an_anchor_alone():
    text = """
models:
  - {name: m, endpoints: &same [{base_url: "http://h/v1", capacity: 2}]}
  - {name: n, endpoints: *same}
"""
    found = settings(text, AGENTSCHED__MODELS__1__ENDPOINTS__0__CAPACITY="9")
    assert [model.capacity for model in found.models] == [2, 9]


def test_an_item_that_is_not_there_cannot_be_changed():
    text = refused(AGENTSCHED__MODELS__7__NAME="x")
    assert "there is no models[7]" in text


def test_keys_of_kafkas_properties_have_underscores_for_dots():
    environ = {"AGENTSCHED__KAFKA__PROPERTIES__SASL_PASSWORD": "hunter2"}
    text = "kafka: {properties: {sasl.username: u}}"
    assert settings(text, **environ).kafka.properties == {
        "sasl.username": "u",
        "sasl.password": "hunter2",
    }


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("AGENTSCHED__LIMITS__TTLS", "AGENTSCHED__LIMITS__TTL_S"),
        ("AGENTSCHED__limits__ttl_s", "AGENTSCHED__LIMITS__TTL_S"),
        ("AGENTSCHED__LIMIT__TTL_S", "AGENTSCHED__LIMITS__TTL_S"),
        (
            "AGENTSCHED__MODELS__4__ENDPOINTS__2__CAPACTIY",
            "AGENTSCHED__MODELS__4__ENDPOINTS__2__CAPACITY",
        ),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest(wrong, right):
    text = refused(**{wrong: "1"})
    assert f"{wrong}: unknown variable; did you mean {right}?" in text


@pytest.mark.parametrize(
    "name",
    ["AGENTSCHED__", "AGENTSCHED__KAFKA", "AGENTSCHED__MODELS__0", "AGENTSCHED__X"],
)
def test_a_variable_that_names_no_single_setting_is_an_error(name):
    assert f"{name}: unknown variable" in refused(**{name: "1"})


@pytest.mark.parametrize("name", ["AGENTSCHED_KEY_0", "AGENTSCHED_KAFKA_JARS", "TTL_S"])
def test_other_variables_are_none_of_ours(name):
    assert settings(**{name: "x"}) == settings()


@pytest.mark.parametrize(
    ("name", "text", "wish"),
    [
        ("INPUT_TOPICS", "[1", "takes a JSON list"),
        ("AGENTSCHED__MODELS", "gpt-4", "takes a JSON list"),
        ("AGENTSCHED__SCALING", "2", "takes a JSON object"),
        ("AGENTSCHED__LIMITS__TTL_S", "soon", "must be a number above 0"),
        ("SGLANG_BASE_URL", "sglang:30000", "must be an http:// or https:// URL"),
    ],
)
def test_a_bad_value_names_the_variable_and_not_the_file(name, text, wish):
    found = refused(text="", **{name: text})
    assert found.startswith("the environment: 1 thing to mend:")
    assert f"{name}: " in found
    assert wish in found
    assert "agentsched.yaml" not in found


def test_bad_values_of_the_file_and_of_variables_come_together():
    found = refused(
        text="limits: {horizon_s: 0}", AGENTSCHED__LIMITS__TTL_S="x", REDIS_URL="y"
    )
    assert "3 things to mend" in found
    assert "line 1: limits.horizon_s" in found
    assert "AGENTSCHED__LIMITS__TTL_S: limits.ttl_s" in found
    assert "REDIS_URL: redis.url" in found


def test_the_default_endpoint_is_set_by_the_published_variable():
    text = "models: [{name: m}]"
    found = settings(text, SGLANG_BASE_URL="http://sglang:30000/v1")
    (endpoint,) = found.models[0].endpoints
    assert endpoint.base_url == "http://sglang:30000/v1"
    assert endpoint.api_key_env == "LLM_API_KEY"
