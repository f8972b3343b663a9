"""F23: the reply topic that a request names is allowed, and missing."""

import pytest

from tests.support.model_server import ModelServer
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

MISSING = "nobody-made-this-topic"


def test_its_reply_goes_to_the_output_topic_and_the_offset_is_committed(
    tmp_path, kafka
):
    config = {"kafka": {"reply_topics": [MISSING]}}
    with (
        ModelServer() as server,
        System(tmp_path, kafka, server, {"m": 2}, config=config) as system,
    ):
        system.start()
        refused = {"model_id": "no-such-model"}  # answered by the bridge, not a worker
        sent = {
            *system.send("high", 2, reply_topic=MISSING),
            *system.send("high", 1, reply_topic=MISSING, **refused),
            *system.send("high", 1),
        }
        replies = system.replies.wait_for(sent, 60)
        by_status = sorted(reply["status"] for reply in replies.values())
        assert by_status == ["completed"] * 3 + ["failed"]
        end = system.kafka.end(system.topics["high"])
        eventually(lambda: system.committed("high") == end, timeout_s=30)
        assert len(server.calls) == 3
        assert set(system.replies.counts().values()) == {1}
