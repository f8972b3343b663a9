"""Hundreds of requests over three models and three classes, on real Kafka."""

import itertools

import pytest

from tests.support.model_server import ModelServer, digest
from tests.support.system import CLASSES, System

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

MODELS = {"alpha": 16, "beta": 8, "gamma": 24}


@pytest.mark.parametrize("requests", [600, pytest.param(2_000, marks=pytest.mark.long)])
def test_every_request_is_answered_once_within_the_capacities(
    tmp_path, kafka, requests
):
    with (
        ModelServer(delay_s=0.02) as server,
        System(tmp_path, kafka, server, MODELS, partitions=2) as system,
    ):
        system.start(workers=2)
        sent: dict[str, str] = {}
        turns = itertools.cycle(itertools.product(CLASSES, MODELS))
        for cls, model in itertools.islice(turns, 20):
            for id_ in system.send(cls, requests // 20, model_id=model):
                sent[id_] = model
        replies = system.replies.wait_for(set(sent), 180)

        assert len(sent) == requests
        assert set(system.replies.counts().values()) == {1}
        assert len(server.calls) == requests
        for id_, model in sent.items():
            assert replies[id_]["status"] == "completed"
            assert replies[id_]["content"] == f"{model} {digest(id_)}"
        for model, capacity in MODELS.items():
            assert server.peak_in_flight(model) <= capacity
