"""The doorbell: what Celery's message holds."""

import json

import pytest

from agentsched.errors import CodecError
from agentsched.wire.doorbell import Doorbell
from tests.support.requests import facts

BELL = Doorbell.of(facts("k", cls="high"), turn=3, epoch="e", model="m")


def test_it_survives_the_way_over_celery():
    assert Doorbell.from_wire(json.loads(json.dumps(BELL.to_wire()))) == BELL


def test_it_holds_ids_and_routing_facts_only():
    assert set(BELL.to_wire()) == {
        "version",
        "key",
        "turn",
        "epoch",
        "model",
        "cls",
        "agent_id",
        "correlation_id",
    }


def test_every_take_has_a_task_id_of_its_own():
    again = Doorbell.of(facts("k", cls="high"), turn=4, epoch="e", model="m")
    later = Doorbell.of(facts("k", cls="high"), turn=3, epoch="e2", model="m")
    assert len({BELL.task_id, again.task_id, later.task_id}) == 3


def test_fields_of_a_newer_version_are_ignored():
    assert Doorbell.from_wire(BELL.to_wire() | {"new": 1}) == BELL


@pytest.mark.parametrize("wire", [{}, BELL.to_wire() | {"version": 3}])
def test_an_unknown_version_is_refused(wire):
    with pytest.raises(CodecError, match="version"):
        Doorbell.from_wire(wire)


def test_a_missing_field_is_named():
    wire = BELL.to_wire()
    del wire["turn"]
    with pytest.raises(CodecError, match="turn"):
        Doorbell.from_wire(wire)


def test_one_of_version_1_rings_for_the_take_of_its_ring():
    wire = BELL.to_wire() | {"version": 1, "ring": 3}
    del wire["turn"]
    assert Doorbell.from_wire(wire) == BELL


def test_one_of_version_1_without_its_number_is_refused():
    with pytest.raises(CodecError, match="version 1"):
        Doorbell.from_wire({"version": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"turn": "3"},
        {"turn": 0},
        {"turn": True},
        {"turn": 10**9},
        {"turn": None},
        {"epoch": 7},
        {"key": ["k"]},
        {"model": None},
    ],
)
def test_a_field_of_another_type_is_refused_and_named(wrong):
    (name,) = wrong
    with pytest.raises(CodecError, match=name):
        Doorbell.from_wire(BELL.to_wire() | wrong)
