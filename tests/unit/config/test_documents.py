"""Sample, schema and reference: derived from the classes, and true."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from agentsched.config.catalogue import walk
from agentsched.config.effective import effective
from agentsched.config.environment import PUBLISHED
from agentsched.config.loader import parse_settings
from agentsched.config.reference import json_schema, reference
from agentsched.config.sample import sample
from agentsched.config.section import named
from agentsched.config.settings import Settings
from tests.unit.config.test_loader import SAMPLE as PUBLISHED_SAMPLE

ROOT = Path(__file__).parents[3]
UNCOMMENTED = re.sub(r"(?m)^( *)#(?=\S)", r"\1", sample())
KEYS = [path for path, _ in walk()]


def test_the_example_is_the_sample():
    text = (ROOT / "examples/agentsched.yaml").read_text("utf-8")
    assert text == sample(), "run: agentsched config sample > examples/agentsched.yaml"


def test_the_page_is_the_reference():
    text = (ROOT / "docs/reference/configuration.md").read_text("utf-8")
    assert text == reference(), (
        "run: agentsched config reference > docs/reference/configuration.md"
    )


def test_the_sample_loads_as_it_is():
    loaded = parse_settings(sample())
    assert [model.name for model in loaded.settings.models] == ["gpt-4"]
    assert loaded.notes == ()


def test_what_the_sample_has_commented_out_are_the_defaults():
    loaded = parse_settings(UNCOMMENTED)
    assert loaded.settings == parse_settings(sample()).settings
    assert loaded.notes == ()


@pytest.mark.parametrize("path", KEYS, ids=[named(path) for path in KEYS])
def test_the_sample_has_every_key(path):
    value = yaml.safe_load(UNCOMMENTED)
    for part in path:
        assert isinstance(part, int) or part in value
        value = value[part]


@pytest.mark.parametrize("text", [sample(), UNCOMMENTED, PUBLISHED_SAMPLE, "kafka:\n"])
def test_the_schema_accepts_what_loads(text):
    jsonschema.validate(yaml.safe_load(text), json_schema())
    parse_settings(text)


@pytest.mark.parametrize(
    "text",
    [
        "modells: []",
        "limits: {ttl_s: -1}",
        "limits: {ttl_s: soon}",
        "kafka: {group_protocol: eager}",
        "models: [{queue: x}]",
        "agents: [{id: a, max_priority: urgent}]",
    ],
)
def test_the_schema_refuses_what_is_refused(text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_has_every_sentence():
    text = str(json_schema())
    for _, setting in walk():
        assert repr(setting.sentence)[1:-1] in text


@pytest.mark.parametrize("name", [*PUBLISHED, "LLM_API_KEY"])
def test_the_reference_has_the_published_variables(name):
    assert f"| `{name}` |" in reference()


def test_the_reference_has_every_setting():
    page = reference()
    for path, setting in walk():
        if setting.section is None:
            assert f"| `{path[-1]}` |" in page


def test_the_effective_configuration_has_every_setting_of_the_sample():
    shown = {named(value.path) for value in effective(parse_settings(sample()))}
    leaves = {named(path) for path, setting in walk() if setting.section is None}
    assert leaves <= shown


def test_every_value_says_where_it_comes_from():
    environ = {"AGENTSCHED__LIMITS__TTL_S": "3", "OUTPUT_TOPIC": "out"}
    text = "limits: {horizon_s: 5}\nagents: [{id: a, model: m}]\n"
    loaded = parse_settings(text, source="f.yaml", environ=environ)
    found = {named(value.path): value for value in effective(loaded)}
    kinds = {
        "limits.ttl_s": "variable",
        "kafka.output_topic": "variable",
        "limits.horizon_s": "file",
        "limits.ttl_max_s": "default",
        "agents[0].id": "file",
        "agents[0].group": "default",
        "models[0].endpoints[0].capacity": "derived",
    }
    assert {path: found[path].kind for path in kinds} == kinds
    assert found["agents[0].id"].origin.line == 2
    assert found["limits.ttl_s"].origin.variable == "AGENTSCHED__LIMITS__TTL_S"


def test_the_defaults_are_valid():
    assert Settings.model_validate(Settings().model_dump(mode="json")) == Settings()
