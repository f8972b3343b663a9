"""What Celery is told, and when the settings are read."""

import subprocess
import sys
from json import dumps
from pathlib import Path
from typing import Any

from agentsched.celery.queues import LOWEST_NUMBER_FIRST
from agentsched.celery.settings import celery_settings
from agentsched.config.settings import RedisSettings, Settings
from agentsched.types import Priority

MODELS = [
    {"name": "gpt-4", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]},
    {"name": "llama3", "endpoints": [{"base_url": "http://127.0.0.1:1/v1"}]},
]
SETTINGS = Settings.model_validate({"models": MODELS})
FILE = """
redis: {url: "redis://127.0.0.1:1/5"}
models: [{name: gpt-4, endpoints: [{base_url: "http://127.0.0.1:1/v1"}]}]
"""


def python(code: str, cwd: Path, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_model_has_a_queue_of_its_own_exchange() -> None:
    queues = celery_settings(SETTINGS)["task_queues"]
    assert [(q.name, q.exchange.name, q.routing_key) for q in queues] == [
        ("gpt4", "gpt4", "gpt4"),
        ("llama3", "llama3", "llama3"),
    ]


def test_a_queue_is_found_by_the_name_of_its_model() -> None:
    assert [q.alias for q in celery_settings(SETTINGS)["task_queues"]] == [
        "gpt-4",
        "llama3",
    ]


def test_the_default_queue_is_one_that_is_declared() -> None:
    assert celery_settings(SETTINGS)["task_default_queue"] == "gpt4"


def test_a_queue_that_nobody_declared_is_not_made() -> None:
    assert celery_settings(SETTINGS)["task_create_missing_queues"] is False


def test_high_is_served_before_medium_before_low() -> None:
    numbers = [LOWEST_NUMBER_FIRST[priority] for priority in Priority]
    assert numbers == sorted(numbers)


def test_the_default_namespace_leaves_the_names_of_queues_alone() -> None:
    options = celery_settings(SETTINGS)["broker_transport_options"]
    assert "global_keyprefix" not in options


def test_another_namespace_is_a_prefix_of_all_queues() -> None:
    other = SETTINGS.model_copy(update={"namespace": "blue"})
    options = celery_settings(other)["broker_transport_options"]
    assert options["global_keyprefix"] == "blue:celery:"


def test_there_is_no_result_backend() -> None:
    settings = celery_settings(SETTINGS)
    assert "result_backend" not in settings
    assert settings["task_ignore_result"]


def test_importing_the_app_reads_no_settings(tmp_path: Path) -> None:
    (tmp_path / "agentsched.yaml").write_text("no: [valid")
    code = "import agentsched.celery as c; print(c.app.main)"
    assert python(code, tmp_path) == "agentsched\n"


def test_importing_the_app_loads_no_http_client(tmp_path: Path) -> None:
    code = (
        "import agentsched.celery, agentsched.celery.queues, sys;"
        "print({'httpx', 'aiohttp', 'confluent_kafka'} & set(sys.modules))"
    )
    assert python(code, tmp_path) == "set()\n"


def test_a_celeryconfig_of_the_user_does_not_shadow_ours(tmp_path: Path) -> None:
    (tmp_path / "agentsched.yaml").write_text(FILE)
    (tmp_path / "celeryconfig.py").write_text("broker_url = 'memory://'")
    code = "from agentsched.celery import app; print(app.conf.broker_url)"
    assert python(code, tmp_path) == "redis://127.0.0.1:1/5\n"


def test_the_published_celeryconfig_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "agentsched.yaml").write_text(FILE)
    code = (
        "import celeryconfig\n"
        "from agentsched.celery import app\n"
        "keys = [k for k in vars(celeryconfig) if not k.startswith('_')]\n"
        "print(len(keys) > 10, [k for k in keys"
        " if repr(getattr(celeryconfig, k)) != repr(app.conf[k])])"
    )
    assert python(code, tmp_path) == "True []\n"


def broker(**redis: object) -> dict[str, Any]:
    return celery_settings(
        SETTINGS.model_copy(update={"redis": RedisSettings(**redis)})
    )


def test_the_password_stands_beside_the_url_of_the_broker() -> None:
    settings = broker(url="redis://u:p%40w@h:1/2")
    assert settings["broker_url"] == "redis://h:1/2"
    assert (settings["broker_user"], settings["broker_password"]) == ("u", "p@w")
    assert settings["broker_use_ssl"] is None


def test_a_certificate_is_checked_where_kombu_would_not() -> None:
    tls = broker(url="rediss://h", tls_ca_file="ca.pem")["broker_use_ssl"]
    assert tls == {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": "ca.pem",
    }


SENTINELS = {"url": "sentinel://u:p%40w@a:1/2;sentinel://b", "sentinel_master": "m"}


def test_every_sentinel_is_named_to_kombu_and_the_data_server_by_its_name() -> None:
    settings = broker(**SENTINELS)
    assert settings["broker_url"] == "sentinel://a:1/2;sentinel://b:26379/2"
    assert settings["broker_transport_options"]["master_name"] == "m"


def test_the_next_sentinel_comes_with_the_login() -> None:
    strategy = broker(**SENTINELS)["broker_failover_strategy"]
    turns = strategy(["sentinel://a:1/2", "sentinel://b:2/2"])
    assert [next(turns) for _ in range(3)] == [
        "sentinel://u:p%40w@a:1/2",
        "sentinel://u:p%40w@b:2/2",
        "sentinel://u:p%40w@a:1/2",
    ]


def test_no_setting_of_celery_that_it_tells_others_has_a_password() -> None:
    settings = broker(**SENTINELS, sentinel_password="hunter2")
    told = {key: value for key, value in settings.items() if key != "broker_password"}
    text = dumps(told, default=lambda each: getattr(each, "__json__", each.__repr__)())
    assert "hunter2" not in text + repr(told)
    assert "p@w" not in text + repr(told)
    assert "p%40w" not in text + repr(told)
