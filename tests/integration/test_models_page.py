"""docs/how-to/models.md, from the first file to the removed model."""

import json
import re

import pytest
import yaml

from agentsched.config.loader import parse_settings
from tests.support.guides import ROOT, blocks, commands
from tests.support.installation import PATIENCE_S, Installation
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually

PAGE = "docs/how-to/models.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
BEFORE, AFTER, POOL = blocks(PAGE, "yaml")


@pytest.mark.parametrize("text", [BEFORE, AFTER, POOL])
def test_its_configurations_load_and_all_of_them_is_active(text):
    assert parse_settings(text).notes == ()


def test_its_numbers_of_connections_are_the_defaults():
    said = yaml.safe_load(POOL)["connection_pool"]
    pool = parse_settings("models: [{name: m}]").settings.connection_pool
    assert said == {key: getattr(pool, key) for key in said}


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)", TEXT))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs/how-to" / link).exists()


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_a_model_is_added_asked_and_removed(kafka, topic_prefix, tmp_path):
    (tmp_path / "mistral_key").write_text("a-key\n")
    check, worker, hang_up, *look, pause, status, again = commands(PAGE)
    assert (status, again) == ("agentsched status", hang_up)
    with (
        ModelServer() as vendor,
        ModelServer() as ours,
        Installation(tmp_path, kafka, topic_prefix) as mine,
    ):
        told = {"https://api.example.com/v1": vendor.base_url}
        mine.configure(BEFORE, told)
        run = mine.reader.run
        run("export OPENAI_API_KEY=x")
        run("agentsched topics create")
        bridge = mine.serve("python -m bridge", "bridge")
        mine.serve("celery -A agentsched worker -Q gpt4", "gpt4")
        mine.wait_until_well()
        refused = run("agentsched send --model mistral-7b x", code=1)
        assert json.loads(refused)["error"]["code"] == "UNKNOWN_MODEL"

        def read_again():
            log = mine.folder / "logs" / "bridge.log"
            before = log.read_text().count("configuration_reloaded")
            run(hang_up.replace("PID_OF_THE_BRIDGE", str(bridge.pid)))
            eventually(
                lambda: log.read_text().count("configuration_reloaded") > before,
                timeout_s=PATIENCE_S,
            )

        more = {
            "http://10.0.0.5:30000/v1": ours.base_url,
            "/run/secrets/mistral_key": str(tmp_path / "mistral_key"),
        }
        mine.configure(AFTER, told | more)
        run(check)
        mine.serve(worker, "mistral7b")
        read_again()
        seen = mine.wait_until_well()
        assert {one["model"]: one["slots"] for one in seen["models"]} == {
            "gpt-4": 7,
            "mistral-7b": 16,
        }
        (*_, said) = [run(command) for command in look]
        assert json.loads(said)["model_id"] == "mistral-7b"
        (call,) = ours.calls
        assert call.authorization

        run(pause)
        (waits,) = run("agentsched send --no-wait --model mistral-7b x").split()
        eventually(
            lambda: mine.status()["waiting"]["medium"] == 1, timeout_s=PATIENCE_S
        )
        mine.configure(BEFORE, told)
        read_again()
        reply = eventually(
            lambda: run(f"agentsched replies --id {waits}"), timeout_s=PATIENCE_S
        )
        assert json.loads(reply)["error"]["code"] == "MODEL_REMOVED"
