"""YAML that loads, and YAML that would be misread."""

import pytest

from agentsched.config.draft import Origin
from agentsched.config.yaml_text import read_yaml
from agentsched.errors import ConfigurationError


def refused(text):
    with pytest.raises(ConfigurationError) as error:
        read_yaml(text, "f.yaml")
    return str(error.value)


def test_every_value_has_the_line_of_its_key():
    draft = read_yaml("a:\n  b: 1\n  c:\n    - x\n    - y\n", "f.yaml")
    assert draft.data == {"a": {"b": 1, "c": ["x", "y"]}}
    assert draft.origins["a", "b"] == Origin("f.yaml", 2)
    assert draft.origins["a", "c", 1] == Origin("f.yaml", 5)


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_document_is_an_empty_configuration(text):
    assert read_yaml(text, "f.yaml").data == {}


def test_a_key_that_stands_twice_is_refused_with_both_lines():
    found = refused("a: 1\nb: 2\na: 3\n")
    assert "line 3: a: stands in line 1 already" in found


def test_a_merged_key_may_be_overridden():
    draft = read_yaml("x: &x {a: 1, b: 2}\ny: {<<: *x, b: 3}\n", "f.yaml")
    assert draft.data["y"] == {"a": 1, "b": 3}
    assert draft.origins["y", "b"].line == 2
    assert draft.origins["y", "a"].line == 1


def test_a_date_is_text():
    assert read_yaml("name: 2024-08-06", "f").data == {"name": "2024-08-06"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1", "line 1: not valid YAML"),
        ("a: 1\n\tb: 2", "line 2: not valid YAML"),
        ("a: !!python/object:os.system x", "line 1: not valid YAML"),
        ("a: \x00", "not valid YAML"),
        ("- a", "must be a mapping of sections"),
        ("just text", "must be a mapping of sections"),
        ("a: 1\n1: b", "line 2: a key must be text: put it in quotes"),
        ("a:\n  on: b", "line 2: a key must be text"),
        ("a: &x [*x]", "does an alias contain itself?"),
        ("[" * 2000, "not valid YAML"),
        ("a: 1\n---\nb: 2", "line 2: not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(text, words):
    assert words in refused(text)


def test_aliases_of_aliases_do_not_run_for_ever():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{f'*a{n - 1},' * 10}]" for n in range(1, 9)]
    assert "more than" in refused("\n".join(lines))
