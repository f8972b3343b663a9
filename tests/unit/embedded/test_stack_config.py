"""The local stack's configuration file is one that we accept, and it is private."""

import stat

import pytest

from agentsched.config.loader import load_settings
from agentsched.embedded.demo_models import DEMO_MODELS
from agentsched.embedded.services import environment
from agentsched.embedded.stack_config import topics, write_config


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "agentsched.yaml"
    file.touch(mode=0o644)  # what an earlier run may have left
    write_config(
        file,
        bootstrap="127.0.0.1:1",
        redis_url="redis://127.0.0.1:2/0",
        base_url="http://127.0.0.1:3/v1",
    )
    return file


def test_only_its_owner_can_read_it(path):
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_loads_with_every_demo_model(path):
    settings = load_settings({"AGENTSCHED_CONFIG": str(path)}).settings
    assert {(m.name, m.queue, m.capacity) for m in settings.models} == {
        (m.name, m.queue, m.capacity) for m in DEMO_MODELS
    }


def test_its_logs_are_for_people(path):
    settings = load_settings({"AGENTSCHED_CONFIG": str(path)}).settings
    assert settings.logging.format == "text"


def test_nothing_in_it_is_unknown_or_inactive(path):
    assert load_settings({"AGENTSCHED_CONFIG": str(path)}).notes == ()


def test_its_topics_exist_in_the_stack(path):
    kafka = load_settings({"AGENTSCHED_CONFIG": str(path)}).settings.kafka
    letters = {f"{topic}.dead_letter" for topic in kafka.input_topics}
    wanted = {*kafka.input_topics, kafka.output_topic, *letters}
    assert topics().keys() == wanted


def test_a_users_own_kafka_does_not_reach_the_stack(path):
    mine = {
        "PATH": "/bin",
        "BOOTSTRAP_SERVERS": "production:9092",
        "LLM_API_KEY": "secret",
        "AGENTSCHED_CONFIG": "/etc/agentsched.yaml",
    }
    assert environment(mine, path, {}) == {
        "PATH": "/bin",
        "AGENTSCHED_CONFIG": str(path),
    }
