"""docs/tutorial.md, every command from the first to the last, on `agentsched up`."""

import json
import re

import pytest

from tests.support.guides import ROOT, Reader, blocks, commands
from tests.support.preloaded import run_preloaded
from tests.support.up import Up
from tests.support.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

PAGE = "docs/tutorial.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
PATIENCE_S = 120


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    """Run all, in order: (command, what it printed)."""
    folder = tmp_path_factory.mktemp("tutorial")
    with Up(folder / ".agentsched").running() as up:
        up.wait_for("all ends with Ctrl-C", PATIENCE_S)
        reader = Reader(folder, {"AGENTSCHED_CONFIG": ".agentsched/agentsched.yaml"})
        (program,) = blocks(PAGE, "python")
        printed = [("the program", reader.python(program))]
        for command in commands(PAGE):
            for words, wait in WAITS.items():
                if words in command:
                    wait(reader, up)
            typed = command.replace("127.0.0.1:9790", bridge(reader)["http"])
            printed.append((command, reader.run(typed)))
        printed.append(("agentsched up", up.output))
        up.end()
    return printed


def status(reader):
    said = run_preloaded(
        ["agentsched", "status", "--json"], cwd=reader.folder, env=reader.environ
    )
    return json.loads(said.stdout)


def bridge(reader):
    (one,) = eventually(lambda: status(reader)["bridges"], timeout_s=PATIENCE_S)
    return one


def riddles_run(reader, _up):
    """Before the first of them there is nothing to cut off; they take half a minute."""

    def running():
        models = {one["model"]: one["in_flight"] for one in status(reader)["models"]}
        return models["gpt-4"]

    eventually(running, timeout_s=PATIENCE_S, message="gpt-4 works at the riddles")


def nothing_waits(reader, _up):
    def idle():
        seen = status(reader)
        return seen["in_flight"] == sum(seen["waiting"].values()) == 0

    eventually(idle, timeout_s=PATIENCE_S, message="everything is answered")


def read_again(times):
    def wait(_reader, up):
        log = up.root / "logs" / "bridge.log"
        eventually(
            lambda: log.read_text().count("configuration_reloaded") == times,
            timeout_s=PATIENCE_S,
            message="the bridge has read its configuration again",
        )

    return wait


def a_letter_is_there(reader, _up):
    eventually(
        lambda: "TOO_LARGE" in reader.run("agentsched dead-letters list"),
        timeout_s=PATIENCE_S,
    )


def the_large_one_is_answered(reader, _up):
    command = 'agentsched replies --id "$(cat large.txt)"'
    eventually(lambda: reader.run(command), timeout_s=PATIENCE_S)


def it_is_explained(reader, _up):
    """The bridge has read the request, and said once more what it knows."""
    command = 'agentsched explain "$(cat waits.txt)" || true'
    eventually(
        lambda: re.search("is paused|answered|runs", reader.run(command)),
        timeout_s=PATIENCE_S,
    )


WAITS = {
    "Riddle": nothing_waits,
    "kill -9": riddles_run,
    "cat waits.txt": it_is_explained,
    '"attempts":2': nothing_waits,
    "head -c 3000": read_again(1),
    "dead-letters list": a_letter_is_there,
    "dead-letters replay": read_again(2),
    '"$(cat large.txt)"': the_large_one_is_answered,
}
"""Words of a command -> what its reader sees before he types it."""


def of(walk, words, number=0):
    """What the command with these words printed."""
    return [text for command, text in walk if words in command][number]


def test_the_first_requests_are_answered(walk):
    assert '"content":"this is a made up answer' in of(walk, "How does the internet")
    assert of(walk, "the program").startswith("gpt-4 says: this is a made up answer")


def test_status_and_metrics_show_the_work(walk):
    assert "gpt-4 or llama3" in of(walk, "agentsched status")
    assert 'agentsched_requests{class="low"' in of(walk, "curl")


def test_the_urgent_request_is_answered_while_others_wait(walk):
    assert json.loads(of(walk, "This one is urgent"))["status"] == "completed"
    assert re.search(r"waits|run|reply", of(walk, "tail -n 1 ids.txt"))


def test_the_model_that_was_asked_for_answers(walk):
    assert json.loads(of(walk, "Which model are you"))["model_id"] == "llama3"
    assert json.loads(of(walk, "picture of a cat"))["model_id"] == "qwen-vl"


def test_a_paused_model_is_the_reason_to_wait_and_then_it_answers(walk):
    assert "model gpt-4 is paused" in of(walk, "cat waits.txt", 0)
    assert "vendor incident 4711" in of(walk, "cat waits.txt", 0)
    assert json.loads(of(walk, "And now?"))["model_id"] == "gpt-4"


def test_what_the_killed_worker_had_is_answered_at_the_second_attempt(walk):
    assert "worker-gpt4 has ended and starts again in 0.5 s" in of(
        walk, "agentsched up"
    )
    cut_off = [json.loads(line) for line in of(walk, '"attempts":2').splitlines()]
    assert cut_off
    assert {reply["model_id"] for reply in cut_off} == {"gpt-4"}


def test_the_dead_letter_is_replayed_and_answered(walk):
    assert "1 dead letters" in of(walk, "dead-letters list")
    assert "made up answer" in of(walk, '"$(cat large.txt)"')


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)", TEXT))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / "docs" / link).exists()
