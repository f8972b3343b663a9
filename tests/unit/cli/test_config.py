"""`agentsched config`: what it prints, and its exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from agentsched.cli.config import command
from agentsched.config.sample import sample

GOOD = """
redis: {url: "redis://u:hunter2@h"}
models: [{name: m, endpoints: [{base_url: "http://h/v1"}]}]
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a subcommand over a file and variables."""

    def _run(*args, text=GOOD, **environ):
        (tmp_path / "agentsched.yaml").write_text(text)
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(command, args, env=environ)

    return _run


def test_a_good_configuration_is_fine(run):
    done = run("check")
    assert done.exit_code == 0
    assert done.output.startswith("agentsched.yaml is fine: 1 model(s), 0 agent(s);")


def test_what_is_worth_knowing_is_said(run):
    done = run("check", text=GOOD + "scaling: {min_agents: 2}")
    assert "note: `scaling` is accepted and not active yet" in done.output


def test_a_wrong_configuration_is_exit_code_2_with_all_that_is_wrong(run):
    done = run("check", text="limits: {ttl_s: 0}", AGENTSCHED__TIMING__LEASE_S="x")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "line 1: limits.ttl_s" in done.stderr
    assert "AGENTSCHED__TIMING__LEASE_S: timing.lease_s" in done.stderr


def test_problems_as_json_have_place_value_and_text(run):
    done = run("check", "--json", text="limits: {ttl_s: 0}")
    assert done.exit_code == 2
    answer = json.loads(done.stdout)
    assert answer["ok"] is False
    (problem,) = answer["problems"]
    assert problem["path"] == "limits.ttl_s"
    assert (problem["file"], problem["line"]) == ("agentsched.yaml", 1)
    assert problem["value"] == "0"


def test_a_good_configuration_as_json(run):
    assert json.loads(run("check", "--json").stdout)["ok"] is True


def test_a_configuration_without_models_would_start_nothing(run):
    done = run("check", text="namespace: blue")
    assert done.exit_code == 2
    assert "models: none is configured" in done.stderr


def test_without_a_file_it_says_that_there_is_none_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, ["check"])
    assert done.exit_code == 2
    assert "(there is no agentsched.yaml here): 1 thing to mend:" in done.stderr


def test_a_key_that_librdkafka_does_not_know_is_wrong(run):
    text = GOOD + "kafka:\n  properties:\n    securty.protocol: SSL\n"
    done = run("check", text=text)
    assert done.exit_code == 2
    assert (
        "line 6: kafka.properties.securty.protocol: librdkafka refuses" in done.stderr
    )


def test_a_missing_file_is_wrong_too(run):
    done = run("check", "--json", AGENTSCHED_CONFIG="nowhere.yaml")
    assert done.exit_code == 2
    assert "nowhere.yaml" in json.loads(done.stdout)["problems"][0]["problem"]


def test_the_effective_configuration_says_where_each_value_is_from(run):
    rows = json.loads(run("show", "--json", OUTPUT_TOPIC="out").stdout)
    assert rows["kafka.output_topic"] == {
        "value": "out",
        "from": "variable",
        "file": None,
        "line": None,
        "variable": "OUTPUT_TOPIC",
    }
    assert rows["models[0].name"]["line"] == 3
    assert rows["limits.ttl_s"]["from"] == "default"


def test_the_effective_configuration_shows_no_secret(run):
    environ = {"AGENTSCHED__KAFKA__PROPERTIES__SASL_PASSWORD": "hunter2"}
    for args in (["show"], ["show", "--json"]):
        done = run(*args, **environ)
        assert done.exit_code == 0
        assert "redis://u:***@h:6379/0" in done.output
        assert "hunter2" not in done.output


def test_a_prefix_keeps_a_part(run):
    rows = json.loads(run("show", "--json", "timing").stdout)
    assert set(rows) >= {"timing.lease_s", "timing.renew_s"}
    assert all(key.startswith("timing") for key in rows)


def test_a_prefix_of_nothing_is_wrong_usage(run):
    done = run("show", "tming")
    assert done.exit_code == 2
    assert "no setting starts with 'tming'" in done.output


def test_the_sample_is_printed_as_it_is(run):
    assert run("sample").output == sample()


def test_the_schema_accepts_the_sample(run):
    schema = json.loads(run("schema").output)
    jsonschema.validate(yaml.safe_load(sample()), schema)


def test_the_reference_is_markdown(run):
    assert run("reference").output.startswith("# Configuration\n")


def test_a_wrong_configuration_ends_every_command_with_exit_code_2(tmp_path: Path):
    (tmp_path / "agentsched.yaml").write_text("limits: {ttl_s: 0}")
    done = subprocess.run(
        [sys.executable, "-m", "agentsched", "config", "show"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2
    assert "limits.ttl_s" in done.stderr
    assert "Traceback" not in done.stderr
