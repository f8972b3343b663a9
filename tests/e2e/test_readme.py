"""What README.md shows works as it stands there, on real Kafka, Redis and Celery."""

import contextlib

import pytest

from tests.support.guides import blocks, commands
from tests.support.installation import Installation
from tests.support.model_server import ModelServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

PAGE = "README.md"
(SAMPLE,) = blocks(PAGE, "yaml")
(PROGRAM,) = blocks(PAGE, "python")
SERVED = [one for one in commands(PAGE) if "bridge" in one or " worker " in one]
EXPORTED = [one for one in commands(PAGE) if one.startswith("export ")]
MADE = [one for one in commands(PAGE) if "topics create" in one]
USED = [one for one in commands(PAGE) if one not in {*SERVED, *MADE, *EXPORTED}]


@pytest.fixture(scope="module")
def installation(kafka, tmp_path_factory):
    """Of somebody who has done all that comes before "Look into it"."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(ModelServer()) for _ in range(2)]
        mine = Installation(tmp_path_factory.mktemp("readme"), kafka)
        stack.enter_context(mine)
        # Its addresses of Kafka and Redis do not count: variables win.
        told = {
            "https://api.example.com/v1": servers[0].base_url,
            "http://10.0.0.5:30000/v1": servers[1].base_url,
        }
        mine.configure(SAMPLE, told)
        for command in [*EXPORTED, *MADE]:
            # Who copies the README's `...` for a key is told that it is none.
            mine.reader.run(command.replace("_KEY=...", "_KEY=of-this-test"))
        for number, command in enumerate(SERVED):
            mine.serve(command, str(number))
        mine.wait_until_well()
        yield mine


def test_its_program_is_answered(installation, kafka):
    assert "localhost:9092" in PROGRAM
    program = PROGRAM.replace("localhost:9092", kafka.bootstrap)
    assert installation.reader.python(program).startswith("gpt-4 says: ")


def test_its_commands_work(installation):
    ask = """echo '{"correlation_id": "4711", "content": "x"}' | agentsched send"""
    installation.reader.run(ask)
    for command in USED:
        installation.reader.run(command)
    assert installation.status()["orders"] == []
