"""Every setting has a sentence, a default, bounds and its unit; each is a test."""

import pytest
from annotated_types import Ge, Gt, Le, Lt

from agentsched.config.catalogue import find, settings_of, walk
from agentsched.config.section import named
from agentsched.config.settings import Settings

ALL = list(walk())
LEAVES = [(path, setting) for path, setting in ALL if setting.section is None]
NUMBERS = [(path, setting) for path, setting in LEAVES if setting.kind in {int, float}]
UNITS = ("_s", "_ms", "_bytes", "_ratio", "_entries", "_records")
COUNTS = {
    "bridge_port",
    "capacity",
    "max_connections",
    "max_in_flight",
    "weight",
    "worker_port",
    "timeout",  # published
}
REQUIRED = {"name", "base_url", "id"}


def names(rows):
    return [named(path) for path, _ in rows]


@pytest.mark.parametrize(("path", "setting"), ALL, ids=names(ALL))
def test_it_has_a_sentence(path, setting):
    assert setting.sentence, f"write a docstring below {named(path)}"
    assert setting.sentence.endswith((".", ")")), setting.sentence
    assert len(setting.sentence) < 300


@pytest.mark.parametrize(("path", "setting"), LEAVES, ids=names(LEAVES))
def test_it_has_a_default(path, setting):
    assert setting.name in REQUIRED or setting.default_text, named(path)


@pytest.mark.parametrize(("path", "setting"), NUMBERS, ids=names(NUMBERS))
def test_a_number_has_bounds_and_a_unit(path, setting):
    bounds = {type(mark) for mark in setting.field.metadata}
    assert bounds & {Ge, Gt}, f"give {named(path)} ge= or gt="
    assert bounds & {Le, Lt}, f"give {named(path)} le= or lt="
    assert setting.name.endswith(UNITS) or setting.name in COUNTS


@pytest.mark.parametrize(("path", "setting"), ALL, ids=names(ALL))
def test_its_name_fits_a_variable(path, setting):
    assert setting.name.isascii()
    assert setting.name.islower()
    assert "__" not in setting.name


def test_a_path_is_followed_through_lists_and_sections():
    whole, setting = find(("models", 3, "endpoints", 1, "capacity"))
    assert whole == ("models", 3, "endpoints", 1, "capacity")
    assert setting.name == "capacity"


def test_the_key_of_a_free_mapping_belongs_to_its_path():
    path = ("kafka", "properties", "sasl.password", "str")
    assert find(path)[0] == ("kafka", "properties", "sasl.password")


def test_the_catalogue_is_the_classes():
    assert list(settings_of(Settings)) == list(Settings.model_fields)
    assert ("timing", "lease_s") in [path for path, _ in ALL]
