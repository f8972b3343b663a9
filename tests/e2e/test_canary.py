"""Prompts, replies and keys are nowhere but where they belong."""

import json
import re
from pathlib import Path

import pytest
import redis

from tests.support.model_server import Answer, ModelServer, Refuse
from tests.support.pages import get
from tests.support.system import System

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

PROMPT, ANSWER, KEY = "canary-prompt-7391", "canary-answer-7391", "canary-key-7391"
CANARIES = (PROMPT, ANSWER, KEY)


def found_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def command_lines() -> str:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(
                path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
        except OSError:
            continue
    return "\n".join(lines)


def test_no_canary_leaves_kafka_ledger_and_model_server(tmp_path, kafka):
    errors = [
        Refuse(500, json.dumps({"error": {"message": f"cannot {PROMPT} {KEY}"}})),
        Refuse(400, f"bad {PROMPT}", content_type="text/plain"),
        Answer(content=ANSWER * 200_000),
    ]
    with (
        ModelServer(script=lambda _: Answer(content=ANSWER, delay_s=0.05)) as server,
        System(
            tmp_path,
            kafka,
            server,
            {"m": 2},
            secrets={"THE_KEY": KEY},
            config={"logging": {"level": "debug"}},
        ) as system,
    ):
        client = redis.Redis.from_url(system.valkey.url)
        with client.monitor() as monitor:
            system.start()
            server.then("m", *errors)
            sent = system.send("high", 8, content=PROMPT)
            bad = [
                system.producer.produce(b'{"content": "' + PROMPT.encode(), topic)
                for topic in system.topics.values()
            ]
            for future in bad:
                future.result(10)
            replies = system.replies.wait_for(set(sent), 60)
            client.set("end-of-test", "1")
            pages = [page for name in system.children for page in shown(system, name)]
            seen = read_until_end(monitor)

        statuses = sorted(reply["status"] for reply in replies.values())
        assert statuses.count("failed") == len(errors)
        assert all(call.authorization for call in server.calls)
        celery = [
            command
            for command in seen
            if re.match(r"(LPUSH|PUBLISH|HSET unacked|BRPOP)", command)
        ]
        assert any("agentsched.run" in command for command in celery)
        assert found_in("\n".join(celery)) == []
        assert found_in("\n".join(system.logs().values())) == []
        assert system.events("worker-m-0", "request_taken")  # the log is a full one
        assert any("agentsched_answered_total" in page for page in pages)
        assert found_in("\n".join(pages)) == []
        assert found_in(command_lines()) == []
        for reply in replies.values():
            if reply["status"] == "failed":
                assert found_in(json.dumps(reply)) == []


def shown(system, name):
    """All pages of one process."""
    address = system.address(name)
    return [get(address, path)[1] for path in ("/metrics", "/readyz", "/healthz", "/")]


def read_until_end(monitor):
    commands = []
    while True:
        command = monitor.next_command()["command"]
        if command.startswith("SET end-of-test"):
            return commands
        commands.append(command)
