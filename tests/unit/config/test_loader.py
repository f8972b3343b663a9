"""The configuration: the published sample, the environment, errors that help."""

import pytest

from agentsched.config.loader import load_settings, parse_settings
from agentsched.config.settings import queue_name
from agentsched.errors import ConfigurationError

# The published sample, word for word.
SAMPLE = """
kafka:
  bootstrap_servers:
    - "localhost:9092"
  topics:
    - "agent_messages"

agents:
  - id: "agent1"
    model: "gpt-3.5-turbo"
  - id: "agent2"
    model: "gpt-4"

scaling:
  min_agents: 2
  max_agents: 10
  scaling_factor: 1.5

load_balancing:
  strategy: "round_robin"

connection_pool:
  max_connections: 100
  timeout: 30
"""
MODEL = "models: [{name: m, endpoints: [{base_url: 'http://h/v1'}]}]\n"


def refused(text, **environ):
    with pytest.raises(ConfigurationError) as error:
        parse_settings(text, source="agentsched.yaml", environ=environ)
    return str(error.value)


def test_the_published_sample_loads_as_it_is():
    loaded = parse_settings(SAMPLE, environ={})
    settings = loaded.settings
    assert settings.kafka.input_topics == ("agent_messages",)
    assert [model.name for model in settings.models] == ["gpt-3.5-turbo", "gpt-4"]
    assert [model.queue for model in settings.models] == ["gpt35turbo", "gpt4"]
    assert settings.connection_pool.max_connections == 100


def test_keys_whose_feature_is_not_there_yet_are_said_to_be_inactive():
    notes = "\n".join(parse_settings(SAMPLE).notes)
    assert "`scaling`" in notes
    assert "`load_balancing`" in notes


def test_the_class_of_a_single_topic_is_said():
    notes = "\n".join(parse_settings(SAMPLE).notes)
    assert "'agent_messages'" in notes
    assert "medium" in notes


def test_a_model_that_only_an_agent_names_is_served_at_sglang_base_url():
    environ = {"SGLANG_BASE_URL": "http://sglang:30000/v1"}
    settings = parse_settings(SAMPLE, environ=environ).settings
    (endpoint,) = settings.models[0].endpoints
    assert endpoint.base_url == "http://sglang:30000/v1"
    assert (endpoint.capacity, endpoint.api_key_env) == (4, "LLM_API_KEY")


@pytest.mark.parametrize("topics", ["a, b,c", '["a", "b", "c"]'])
def test_input_topics_come_with_commas_or_as_json(topics):
    settings = parse_settings("", environ={"INPUT_TOPICS": topics}).settings
    assert settings.kafka.input_topics == ("a", "b", "c")


def test_the_environment_wins_over_the_file():
    environ = {
        "BOOTSTRAP_SERVERS": "k1:1,k2:2",
        "OUTPUT_TOPIC": "out",
        "REDIS_URL": "redis://r:1/2",
    }
    settings = parse_settings(SAMPLE, environ=environ).settings
    assert settings.kafka.bootstrap_servers == ("k1:1", "k2:2")
    assert settings.kafka.output_topic == "out"
    assert settings.redis.url == "redis://r:1/2"


def test_all_errors_come_at_once_with_key_value_and_fix():
    text = refused("kafka: {bootstrp_servers: [a]}\nlimits: {ttl_s: -3}\n")
    assert "agentsched.yaml" in text
    assert "kafka.bootstrp_servers" in text
    assert "did you mean 'bootstrap_servers'" in text
    assert "limits.ttl_s" in text
    assert "-3" in text


def test_two_models_with_one_queue_are_refused():
    endpoint = "endpoints: [{base_url: 'http://h/v1'}]"
    models = f"models: [{{name: gpt-4, {endpoint}}}, {{name: gpt4, {endpoint}}}]"
    assert "queue" in refused(models)


def test_a_connection_pool_below_a_capacity_is_refused():
    text = "models: [{name: m, endpoints: [{base_url: 'http://h/v1', capacity: 7}]}]\n"
    assert "max_connections" in refused(text + "connection_pool: {max_connections: 5}")


@pytest.mark.parametrize(
    "url", ["ftp://h/v1", "h:1", "http://user:CANARY@h/v1", "http://h/v1?k=CANARY"]
)
def test_a_base_url_that_is_none_or_holds_a_secret_is_refused(url):
    text = refused(f"models: [{{name: m, endpoints: [{{base_url: '{url}'}}]}}]")
    assert "base_url" in text
    assert "CANARY" not in text


def test_yaml_that_is_none_is_refused_with_its_line():
    assert "line 2" in refused("a: 1\n  b: [")


def test_the_renewal_must_fit_the_lease():
    assert "renew_s" in refused(MODEL + "timing: {lease_s: 6, renew_s: 5}")


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(ConfigurationError, match="AGENTSCHED_CONFIG"):
        load_settings({"AGENTSCHED_CONFIG": str(tmp_path / "none.yaml")})


def test_without_a_file_the_environment_is_enough(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = load_settings({"OUTPUT_TOPIC": "out"})
    assert loaded.settings.kafka.output_topic == "out"


def test_the_file_is_read_from_where_the_variable_says(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MODEL)
    loaded = load_settings({"AGENTSCHED_CONFIG": str(path)})
    assert [model.name for model in loaded.settings.models] == ["m"]


@pytest.mark.parametrize(
    ("name", "queue"),
    [("gpt-4", "gpt4"), ("Llama3", "llama3"), ("qwen/2.5-VL", "qwen25vl")],
)
def test_the_queue_is_the_name_in_lower_case_letters_and_digits(name, queue):
    assert queue_name(name) == queue


def test_settings_refuse_to_be_changed():
    settings = parse_settings(MODEL).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.namespace = "x"
