"""Errors: all of them at once, each with line, path, value and fix, none with a secret."""

import pytest

from agentsched.config.loader import load_settings, parse_settings
from agentsched.config.problems import InvalidSettings
from agentsched.errors import ConfigurationError

MODEL = "models: [{name: m, endpoints: [{base_url: 'http://h/v1'}]}]\n"


def refused(text, **environ):
    with pytest.raises(ConfigurationError) as error:
        parse_settings(text, source="agentsched.yaml", environ=environ)
    return str(error.value)


def test_every_problem_has_line_path_value_and_wish():
    text = """
models:
  - name: gpt-4
    endpoints:
      - {base_url: "http://h/v1"}
      - {base_url: "http://i/v1",
         capacity: 0}
limits:
  ttl_s: soon
"""
    capacity = "must be a whole number from 1 to 10000; default 4 (is 0)"
    ttl = "must be a number above 0, at most 2592000; default 600 (is 'soon')"
    assert refused(text).splitlines() == [
        "agentsched.yaml: 2 things to mend:",
        "  line 7: models[0].endpoints[1].capacity: " + capacity,
        "  line 9: limits.ttl_s: " + ttl,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("modells: []", "modells: unknown key; did you mean 'models'?"),
        ("xyz: 1", "xyz: unknown key; known: namespace, kafka,"),
        (
            "models: [{name: m, endpoints: [{base_url: 'http://h/v1', capcity: 1}]}]",
            "models[0].endpoints[0].capcity: unknown key; did you mean 'capacity'?",
        ),
        ("agents: [{id: x, grup: y}]", "agents[0].grup: unknown key; did you mean"),
        ("agents: [{group: x}]", "agents[0].id: is missing: add it"),
        ("agents: [{id: 5}]", "agents[0].id: must be text: put it in quotes"),
        ("agents: planner", "agents: must be a list"),
        ("agents: [planner]", "agents[0]: must be a section with keys of: id, model"),
        ("limits: 3", "limits: must be a section with keys of: ttl_s"),
        ("kafka: {input_topics: a}", "kafka.input_topics: must be a list"),
        ("kafka: {input_topics: []}", "kafka.input_topics: must have at least 1 item"),
        ("kafka: {input_topics: ['a b']}", "kafka.input_topics[0]: must be of letters"),
        ("kafka: {group_protocol: x}", "must be one of classic, consumer"),
        ("agents: [{id: a, max_priority: x}]", "must be one of high, medium, low"),
        ("limits: {horizon_s: 1.5}", "must be a whole number from 1"),
        ("limits: {ttl_s: .nan}", "must be a number above 0"),
        ("limits: {ttl_s: .inf}", "must be a number above 0"),
        ("redis: {tls: 7}", "redis.tls: must be true or false"),
        ("namespace: 'a b'", "namespace: must be of letters, digits"),
        ("scaling: 3", "scaling: must be a mapping"),
        ("models: [{name: m, endpoints: []}]", "models[0].endpoints: is empty"),
        ("models: [{name: '+'}]", "models[0].queue: the name has no letter or digit"),
        ("models: [{name: unacked}]", "models[0].queue: is a key of Celery's own"),
        ("agents: [{id: a}, {id: a}]", "agents[1].id: 'a' stands twice"),
        # A reply names its model, and takes no other name.
        ('models: [{name: "a\\nb"}]', "models[0].name: holds a line end"),
        ("kafka: {properties: {bootstrap.servers: x}}", "is kafka.bootstrap_servers"),
        ("kafka: {topics: [a], input_topics: [b]}", "keep input_topics only"),
        (
            "redis: {url: 'sentinel://h'}",
            "redis.sentinel_master: say which data server",
        ),
        ("redis: {sentinel_master: m}", "redis.sentinel_master: is for sentinel://"),
        ("redis: {tls: true}", "redis.tls: spell redis.url with rediss://"),
        ("redis: {tls_ca_file: f}", "redis.tls_ca_file: does nothing without TLS"),
        ("redis: {url: 'rediss://h', tls_key_file: f}", "go together"),
    ],
)
def test_a_problem_says_where_it_is_and_what_to_do(text, words):
    found = refused(text)
    assert f"line 1: {words.split(':')[0]}" in found or words in found
    assert words in found
    assert "1 thing to mend" in found


def test_contradictions_between_sections_come_with_problems_of_others():
    found = refused(
        "limits: {ttl_s: x}\n"
        "models: [{name: a}, {name: A}]\n"
        "timing: {lease_s: 6, renew_s: 5}\n"
    )
    assert "3 things to mend" in found
    assert "line 1: limits.ttl_s" in found
    assert "line 2: models[1].queue: 'a' and 'A' share queue 'a'" in found
    assert "line 3: timing.renew_s: must be at most half of lease_s (6)" in found


def test_one_endpoint_has_one_key_whatever_it_serves():
    text = """
models:
  - {name: a, endpoints: [{base_url: "http://h/v1", api_key_env: A}]}
  - {name: b, endpoints: [{base_url: "http://h/v1", api_key_env: B}]}
"""
    found = refused(text)
    assert (
        "line 4: models[1].endpoints[0].api_key_env: http://h/v1 has another" in found
    )
    assert "`api_key_env` under model 'a'" in found


def test_one_endpoint_may_have_a_capacity_for_each_model():
    text = """
models:
  - {name: a, endpoints: [{base_url: "http://h/v1", capacity: 1}]}
  - {name: b, endpoints: [{base_url: "http://h/v1", capacity: 2}]}
"""
    assert [model.capacity for model in parse_settings(text).settings.models] == [1, 2]


def test_a_key_in_a_file_and_in_a_variable_is_one_too_many():
    endpoint = "{base_url: 'http://h/v1', api_key_env: A, api_key_file: f}"
    text = f"models: [{{name: a, endpoints: [{endpoint}]}}]"
    assert "api_key_file: stands beside `api_key_env`" in refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "redis: {url: 'redis://:hunter2'}",
        "redis: {url: 'redis://u:hunter2@h:x/0'}",
        "redis: {url: 'redis://u:p@hunter2@h/zero'}",
        "redis: {url: 'redis://h?password=hunter2'}",
        "redis: {url: 'redis://u:hunter2#x@h/0'}",
        "redis: {url: [hunter2]}",
        "redis: 'redis://u:hunter2@h'",
        "redis: {password: hunter2}",
        "redis: {sentinel_password: [hunter2]}",
        "kafka: {properties: {sasl.password: [hunter2]}}",
        "kafka: {properties: [hunter2]}",
        "kafka: {bootstrap_servers: 'u:hunter2@h'}",
        "models: [{name: m, endpoints: [{base_url: 'http://u:hunter2@h/v1'}]}]",
        "models: [{name: m, endpoints: [{base_url: 'http://h/v1?k=hunter2'}]}]",
        "models: [{name: m, endpoints: [{base_url: 'x', api_key_env: sk-hunter2}]}]",
        "models: [{name: m, endpoints: [{base_url: 'x', api_key_env: hunter2}]}]",
        "x: &a hunter2 y",
        "redis: {url: 'redis://u:hunter2@h'",
    ],
)
def test_no_error_shows_a_secret(text):
    assert "hunter2" not in refused(text)


@pytest.mark.parametrize(
    "name",
    [
        "REDIS_URL",
        "AGENTSCHED__REDIS__URL",
        "AGENTSCHED__KAFKA__PROPERTIES",
        "AGENTSCHED__DEFAULT_ENDPOINT__API_KEY_ENV",
    ],
)
def test_no_error_shows_the_secret_of_a_variable(name):
    assert "hunter2" not in refused("", **{name: "{sk-hunter2@"})


def test_what_validation_says_by_itself_hides_values_too():
    from agentsched.config.settings import RedisSettings  # noqa: PLC0415

    with pytest.raises(ValueError, match="must be redis") as error:
        RedisSettings(url="redis://:hunter2")
    assert "hunter2" not in str(error.value)


def test_settings_that_are_printed_hide_what_may_be_secret():
    text = """
redis: {url: "redis://u:hunter2@h"}
kafka: {properties: {sasl.password: hunter2}}
"""
    loaded = parse_settings(text)
    assert "hunter2" not in repr(loaded.settings)
    assert "hunter2" not in repr(loaded)


def test_problems_can_be_read_by_programs():
    with pytest.raises(InvalidSettings) as error:
        parse_settings("a: 1\nlimits: {ttl_s: -1}", source="f.yaml")
    first, second = error.value.problems
    assert (first.origin.file, first.origin.line) == ("f.yaml", 1)
    assert second.path == ("limits", "ttl_s")
    assert second.value == "-1"


def test_a_file_that_is_no_text_is_refused_with_its_name(tmp_path):
    path = tmp_path / "agentsched.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"agentsched\.yaml cannot be read"):
        load_settings({"AGENTSCHED_CONFIG": str(path)})


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_settings({"AGENTSCHED_CONFIG": str(tmp_path)})
