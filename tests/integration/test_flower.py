"""Flower beside a real worker: who may see it, what it shows, what it never shows."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flower.urls import handlers

from agentsched.flower.login import flower_login
from tests.integration.worker_rig import WorkerRig
from tests.support.flower_server import FlowerServer
from tests.support.model_server import Answer, Hang
from tests.support.redis_servers import Valkey
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(120)

PROMPT, ANSWER = "canary-prompt-4711", "canary-answer-4711"
KEY, PASSWORD = "canary-key-4711", "canary-password-4711"
CANARIES = (PROMPT, ANSWER, KEY, PASSWORD)
OPEN = {"/static/(.*)$", "/login/?$", "/logout$", "/healthcheck$", ".*$"}
"""No login: they hold nothing. `.*` is "not found"."""


@dataclass
class Watched:
    """A worker that has worked, and Flower that has seen it."""

    rig: WorkerRig
    flower: FlowerServer
    login: str
    done: str
    running: str
    node: str

    def text(self, path: str) -> str:
        page = self.flower.get(path, self.login)
        assert page.status == 200, (path, page.status)
        return page.text

    def task_ids(self) -> list[str]:
        return list(json.loads(self.text("/api/tasks")))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    root = tmp_path_factory.mktemp("flower")
    state = {"XDG_STATE_HOME": str(root / "state")}
    with (
        Valkey(root / "valkey", password=PASSWORD) as server,
        WorkerRig(root, server.url, {"gpt-4": 3}, secrets={"THE_KEY": KEY}) as rig,
        FlowerServer(root, rig.environ | state) as flower,
    ):
        yield _watch(rig, flower, flower_login(state).basic_auth)


def _watch(rig: WorkerRig, flower: FlowerServer, login: str) -> Watched:
    rig.ready_worker("-Q", "gpt4", "-l", "DEBUG")
    (node,) = rig.inspect()
    # Flower has its ears open when it has seen the worker.
    eventually(
        lambda: node in flower.get("/workers?json=1", login).text,
        timeout_s=30,
        message=f"Flower sees the worker; its log: {flower.log_path}",
    )
    rig.server.then("gpt-4", Answer(content=ANSWER), Hang())
    done = rig.request(content=PROMPT)
    assert rig.reply_to(done)["content"] == ANSWER
    running = rig.request(cls="low", content=PROMPT)
    rig.wait_for_calls(2)
    eventually(
        lambda: '"STARTED"' in flower.get("/api/tasks", login).text,
        timeout_s=20,
        message="Flower sees both tasks",
    )
    return Watched(rig, flower, login, done, running, node)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_sees_a_page_without_a_login(watched: Watched, method: str) -> None:
    paths = [
        handler[0] if isinstance(handler, tuple) else handler.regex.pattern
        for handler in handlers
    ]
    closed = [path for path in paths if f"{path.rstrip('$')}$" not in OPEN]
    assert len(closed) > 25
    answers = {
        path: watched.flower.get(
            path.rstrip("$").replace("(.+)", "x").replace("(.*)", "x"), method=method
        )
        for path in closed
    }
    # 405: the page has no such method.
    assert {
        path: page.status
        for path, page in answers.items()
        if page.status not in (401, 405)
    } == {}
    assert watched.flower.get("/metrics").status == 401


def test_a_wrong_password_opens_nothing(watched: Watched) -> None:
    assert watched.flower.get("/tasks", "agentsched:wrong").status == 401


def test_the_password_is_said_once(watched: Watched) -> None:
    password = watched.login.partition(":")[2]
    assert watched.flower.log().count(password) == 1
    assert "(made now, and kept in" in watched.flower.log()


def test_a_generated_password_opens_no_port_to_others(watched: Watched) -> None:
    assert "It listens on 127.0.0.1;" in watched.flower.log()
    assert watched.flower.base_url.startswith("http://127.0.0.1:")


def test_health_needs_no_login_and_says_nothing(watched: Watched) -> None:
    page = watched.flower.get("/healthcheck")
    assert (page.status, page.text) == (200, "OK")


def test_a_task_is_shown_with_model_class_and_agent(watched: Watched) -> None:
    tasks = json.loads(watched.text("/api/tasks")).values()
    shown = {task["kwargs"]: task["state"] for task in tasks}
    assert shown == {
        _kwargs(watched.done, "high"): "SUCCESS",
        _kwargs(watched.running, "low"): "STARTED",
    }


def _kwargs(key: str, cls: str) -> str:
    return str(
        {
            "model": "gpt-4",
            "class": cls,
            "agent_id": "agent",
            "correlation_id": f"c-{key}",
        }
    )


@pytest.mark.parametrize(
    ("query", "found"), [("model=gpt-4", 2), ("class=low", 1), ("agent_id=other", 0)]
)
def test_tasks_are_found_by_model_class_and_agent(
    watched: Watched, query: str, found: int
) -> None:
    tasks = json.loads(watched.text(f"/api/tasks?search=kwargs:{query}"))
    assert len(tasks) == found


def test_a_worker_is_shown_with_its_pool(watched: Watched) -> None:
    def pool() -> dict:
        workers = json.loads(watched.text("/api/workers?refresh=1"))
        return workers.get(watched.node, {}).get("stats", {}).get("pool", {})

    eventually(lambda: pool().get("slots") == {"gpt-4": 3}, message="slots per model")
    assert "agentsched.worker.thread_pool" in watched.text(f"/worker/{watched.node}")


def test_a_task_is_terminated_from_its_page(watched: Watched) -> None:
    watched.rig.server.then("gpt-4", Hang())
    key = watched.rig.request()
    watched.rig.wait_for_calls(3)
    task_id = watched.rig.doorbell(key).task_id
    page = watched.flower.get(
        f"/api/task/revoke/{task_id}?terminate=1", watched.login, "POST"
    )
    assert page.status == 200
    assert watched.rig.reply_to(key)["error"]["code"] == "CANCELLED"
    eventually(
        lambda: (
            json.loads(watched.text(f"/api/task/info/{task_id}"))["state"] == "REVOKED"
        )
    )


def test_no_page_has_a_prompt_an_answer_a_key_or_a_password(watched: Watched) -> None:
    ids = watched.task_ids()
    columns = "&".join(
        f"columns[{n}][data]={name}" for n, name in enumerate(("name", "kwargs"))
    )
    table = f"/tasks/datatable?draw=1&start=0&length=50&order[0][column]=0&{columns}"
    paths = [
        *("/", "/workers", "/workers?json=1", f"/worker/{watched.node}"),
        *("/tasks", "/broker", "/metrics", "/nowhere", "/login", "/logout"),
        table.replace("[", "%5B").replace("]", "%5D"),
        *("/api/workers?refresh=1", "/api/tasks", "/api/task/types"),
        "/api/queues/length",
        *(f"/task/{task_id}" for task_id in ids),
        *(f"/api/task/info/{task_id}" for task_id in ids),
        *(f"/api/task/result/{task_id}" for task_id in ids),
    ]
    pages = {path: watched.flower.get(path, watched.login) for path in paths}

    assert sum(page.status == 200 for page in pages.values()) >= len(paths) - 5
    assert "gpt-4" in pages["/api/tasks"].text  # they are no empty pages
    assert [
        (path, canary)
        for path, page in pages.items()
        for canary in CANARIES
        if canary in page.text
    ] == []
    assert [c for c in CANARIES if c in watched.flower.log() + watched.rig.log()] == []


def test_a_login_of_ones_own_replaces_it(watched: Watched, tmp_path: Path) -> None:
    chosen = {"FLOWER_BASIC_AUTH": "ana:her-password", "XDG_STATE_HOME": str(tmp_path)}
    environ = watched.rig.environ | chosen
    with FlowerServer(tmp_path, environ, "--address=127.0.0.1") as flower:
        assert flower.get("/workers", "ana:her-password").status == 200
        assert flower.get("/workers").status == 401
        assert flower.get("/metrics").status == 401
    assert "asks for a login" not in flower.log()
    assert not (tmp_path / "agentsched").exists()


def test_without_a_login_and_a_place_for_one_it_does_not_start(
    watched: Watched, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "agentsched", "flower", "--port=0"],
        cwd=tmp_path,
        env=watched.rig.environ | {"XDG_STATE_HOME": "/dev/null"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "agentsched flower: Flower needs a password, and none can be kept in"
        " /dev/null/agentsched/flower_password (Not a directory); set"
        " FLOWER_BASIC_AUTH=user:password to choose a login yourself"
    )


def test_a_browser_shows_workers_and_tasks(watched: Watched, tmp_path: Path) -> None:
    """What its JavaScript makes of it; the facts are tested without a browser, too."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("NOT TESTED in a browser: there is no chromium")
    url = watched.flower.base_url.replace("//", f"//{watched.login}@")

    def seen(page: str) -> str:
        done = subprocess.run(
            [
                chromium,
                *("--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--no-first-run", "--disable-background-networking"),
                *("--disable-component-update", "--disable-sync"),
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={tmp_path / 'profile'}",
                *("--window-size=1500,900", "--virtual-time-budget=5000"),
                "--dump-dom",
                f"{url}{page}",
            ],
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
        return done.stdout

    workers = seen("/workers")
    assert watched.node in workers
    tasks = seen("/tasks")
    assert tasks.count("model gpt-4, class ") >= 2
    assert f"c-{watched.running}" in tasks
    assert [canary for canary in CANARIES if canary in workers + tasks] == []
