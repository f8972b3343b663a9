"""The published Scheduler: what it refuses before anything is started."""

import pytest

from agentsched.errors import ConfigurationError
from agentsched.load_balancing.scheduler import Scheduler, SchedulerConfig
from agentsched.load_balancing.served_models import ServedModels
from agentsched.types import ModelStats, TaskType

URL = "http://127.0.0.1:1/v1"


def scheduler_with(*names):
    scheduler = Scheduler(SchedulerConfig())
    for name in names:
        scheduler.add_llm_model(name, 1, [TaskType.TEXT_GENERATION], URL, "KEY")
    return scheduler


def test_models_that_were_added_have_stats_before_anything_runs():
    assert scheduler_with("a").get_model_stats() == {"a": ModelStats()}


def test_a_model_is_added_once():
    with pytest.raises(ConfigurationError, match="already"):
        scheduler_with("a", "a")


def test_two_models_with_one_queue_are_refused_and_the_first_stays():
    scheduler = scheduler_with("gpt-4")
    with pytest.raises(ConfigurationError, match="queue"):
        scheduler.add_llm_model("gpt4", 1, [TaskType.TEXT_GENERATION], URL)
    assert list(scheduler.get_model_stats()) == ["gpt-4"]


@pytest.mark.parametrize(
    ("capacity", "url", "tasks"),
    [(0, URL, ["text_generation"]), (1, "nowhere", []), (1, URL, ["juggling"])],
)
def test_a_wrong_value_is_refused_without_the_key(capacity, url, tasks):
    with pytest.raises(ConfigurationError) as refused:
        Scheduler().add_llm_model("m", capacity, tasks, url, "CANARY")
    assert "CANARY" not in str(refused.value)


def test_it_does_not_run_without_a_model():
    with pytest.raises(ConfigurationError, match="add_llm_model"):
        Scheduler().run()


def test_close_before_run_is_harmless_and_run_then_returns_at_once():
    scheduler = scheduler_with("a")
    scheduler.close()
    scheduler.close()
    scheduler.run()


def test_models_may_share_an_endpoint_and_its_key():
    scheduler = Scheduler()
    for name in ("a", "b"):
        scheduler.add_llm_model(name, 1, TaskType, "http://127.0.0.1:1/v1", "k")
    variables = {
        endpoint.api_key_env
        for model in scheduler._settings().models
        for endpoint in model.endpoints
    }
    assert len(variables) == 1


def test_one_endpoint_has_one_key():
    scheduler = Scheduler()
    scheduler.add_llm_model("a", 1, TaskType, "http://127.0.0.1:1/v1", "k")
    with pytest.raises(ConfigurationError, match="one endpoint"):
        scheduler.add_llm_model("b", 1, TaskType, "http://127.0.0.1:1/v1", "other")


def test_a_model_without_a_key_has_that_of_its_server():
    served = ServedModels()
    first = served.add("a", 1, tuple(TaskType), URL, "KEY")
    second = served.add("b", 1, tuple(TaskType), f"{URL}/", None)
    assert first.endpoints[0].api_key_env == second.endpoints[0].api_key_env
    assert served.environment("a") == served.environment("b") != {}


def test_a_server_has_one_key():
    scheduler = scheduler_with("a")
    with pytest.raises(ConfigurationError, match="one endpoint") as refused:
        scheduler.add_llm_model("b", 1, TaskType, URL, "CANARY")
    assert "CANARY" not in str(refused.value)


def test_its_kafka_may_want_a_login():
    properties = {"security.protocol": "SASL_SSL", "sasl.password": "CANARY"}
    config = SchedulerConfig(kafka_properties=properties)
    scheduler = Scheduler(config)
    scheduler.add_llm_model("a", 1, TaskType, URL)
    assert scheduler._settings().kafka.properties == properties
    assert "CANARY" not in repr(config)
