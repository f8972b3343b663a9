"""docs/how-to/upgrade.md: every process is replaced under traffic, and nothing is lost."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from agentsched import __version__
from agentsched.client import AgentClient
from tests.support.guides import ROOT, commands
from tests.support.installation import PATIENCE_S, Installation
from tests.support.model_server import ModelServer
from tests.support.waiting import eventually

PAGE = "docs/how-to/upgrade.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
CALLERS = 4
CALL_S = 0.2
"""So that the traffic is some twenty requests a second, and leaves a core for others."""
CONFIG = """\
models:
  - name: gpt-4
    endpoints:
      - {base_url: "http://server/v1", capacity: 4}
"""


class Traffic:
    """Callers that ask one question after the other, until they are told to end."""

    def __init__(self, client):
        self._client = client
        self._end = threading.Event()
        self._pool = ThreadPoolExecutor(CALLERS)
        self.answered = 0
        self._done = [self._pool.submit(self._ask) for _ in range(CALLERS)]

    def _ask(self):
        replies = []
        while not self._end.is_set():
            replies.append(self._client.request("Still there?", timeout_s=600))
            self.answered += 1
        return replies

    def wait_for_more(self):
        """Answers go on: each caller gets a few that were asked for after this."""
        wanted = self.answered + 3 * CALLERS
        eventually(lambda: self.answered >= wanted, timeout_s=PATIENCE_S)

    def end(self):
        """Every reply; raises what a caller got instead of one."""
        self._end.set()
        self._pool.shutdown()
        return [reply for done in self._done for reply in done.result()]


def client_of(mine):
    environ = mine.reader.environ
    return AgentClient(
        environ["BOOTSTRAP_SERVERS"],
        input_topics=environ["INPUT_TOPICS"].split(","),
        reply_topic=environ["OUTPUT_TOPIC"],
    )


def replace(mine, name, kill, start):
    """Do what the page says for one process."""
    child = mine.children[name]
    mine.reader.run(re.sub(r"PID_OF_\w+", str(child.pid), kill))
    eventually(lambda: not child.alive, timeout_s=PATIENCE_S)
    assert child.returncode == 0
    child.stop()
    mine.serve(start, name)


def numbers(mine):
    """Live bridges and workers."""
    seen = mine.status()
    return (len(seen["bridges"]), len(seen["worker_processes"]))


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_every_command_of_the_page_works_under_traffic(kafka, topic_prefix, tmp_path):
    before, rest = commands(PAGE)[:3], commands(PAGE)[3:]
    worker_goes, worker_comes, status, bridge_goes, bridge_comes, again = rest[:6]
    drain, go_on, *after, failed = rest[6:]
    assert {status} == {again, before[-1]}
    with (
        ModelServer(delay_s=CALL_S) as server,
        Installation(tmp_path, kafka, topic_prefix) as mine,
        client_of(mine) as client,
    ):
        run = mine.reader.run
        mine.configure(CONFIG, {"http://server/v1": server.base_url})
        run("agentsched topics create")
        workers = {
            name: worker_comes.replace("gpt4-a", name) for name in ("gpt4-a", "gpt4-b")
        }
        bridges = dict.fromkeys(("bridge-1", "bridge-2"), bridge_comes)
        for name, command in {**bridges, **workers}.items():
            mine.serve(command, name)
        mine.wait_until_well()
        all_there = lambda: numbers(mine) == (2, 2)  # noqa: E731
        eventually(all_there, timeout_s=PATIENCE_S, message="all run")
        for command in before:
            run(command)

        traffic = Traffic(client)
        for name, command in workers.items():
            replace(mine, name, worker_goes, command)
            eventually(all_there, timeout_s=PATIENCE_S)
            run(status)
            traffic.wait_for_more()
        for name, command in bridges.items():
            replace(mine, name, bridge_goes, command)
            eventually(all_there, timeout_s=PATIENCE_S)
            run(status)
            traffic.wait_for_more()

        run(drain)
        for name in [*bridges, *workers]:
            assert mine.children[name].stop(PATIENCE_S) == 0
        for name, command in {**bridges, **workers}.items():
            mine.serve(command, name)
        eventually(all_there, timeout_s=PATIENCE_S)
        calls = len(server.calls)
        assert mine.status()["in_flight"] == 0
        run(go_on)
        traffic.wait_for_more()
        assert len(server.calls) > calls
        replies = traffic.end()

        seen = mine.wait_until_well()
        assert {one["software"] for one in seen["bridges"]} == {__version__}
        assert {reply.status for reply in replies} == {"completed"}
        # Nobody was killed: no call was made again.
        assert len(server.calls) == len(replies)
        for command in after:
            run(command)
        assert run(failed) == ""


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)", TEXT))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs/how-to" / link).exists()
