"""What -Q means."""

import pytest

from agentsched.config.settings import Settings
from agentsched.errors import ConfigurationError
from agentsched.worker.capacity import capacity_of, models_served, node_name, slots_of

BASE_URL = "http://127.0.0.1:1/v1"


def settings(**capacities: int) -> Settings:
    models = [
        {"name": name, "endpoints": [{"base_url": BASE_URL, "capacity": capacity}]}
        for name, capacity in capacities.items()
    ]
    return Settings.model_validate({"models": models})


BOTH = settings(gpt=7, llama=3)


def test_without_queues_all_models_are_served() -> None:
    assert [model.name for model in models_served(BOTH)] == ["gpt", "llama"]


def test_a_queue_chooses_its_model() -> None:
    assert [model.name for model in models_served(BOTH, ["llama"])] == ["llama"]


def test_an_excluded_queue_is_not_served() -> None:
    assert [model.name for model in models_served(BOTH, (), ["gpt"])] == ["llama"]


def test_a_queue_without_a_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="'gtp'; known queues: gpt, llama"):
        models_served(BOTH, ["gtp"])


def test_a_configuration_without_models_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="under `models:`"):
        models_served(Settings())


def test_excluding_all_queues_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nothing is left"):
        models_served(BOTH, (), ["gpt", "llama"])


def test_the_concurrency_is_the_sum_of_the_capacities() -> None:
    assert capacity_of(BOTH.models) == 10


def test_a_model_has_no_more_slots_than_the_pool_has_threads() -> None:
    assert slots_of(BOTH.models, 5) == {"gpt": 5, "llama": 3}


def test_a_node_is_named_after_its_queues() -> None:
    assert node_name(BOTH.models, "host") == "gpt+llama@host"
