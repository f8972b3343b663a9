"""compose/: it is what the specification says, and its services run with their settings.

No container engine runs where these tests do: the commands run on this machine, each
with its service's environment, until the service's own health check passes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from agentsched.config.loader import parse_settings
from agentsched.embedded.child_process import GuardedChild
from agentsched.embedded.valkey import EmbeddedValkey
from tests.support.ports import free_ports
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose"
TEXT = (COMPOSE / "compose.yaml").read_text("utf-8")
MODEL = yaml.safe_load(TEXT)
SERVICES = MODEL["services"]
OURS = [name for name, one in SERVICES.items() if one["image"] == "agentsched"]
LASTING = [name for name in OURS if "healthcheck" in SERVICES[name]]
SETTINGS = parse_settings((COMPOSE / "agentsched.yaml").read_text("utf-8"))
BIN = Path(sys.executable).parent
SECRETS = {"OPENAI_API_KEY": "EMPTY", "FLOWER_BASIC_AUTH": "me:secret"}


def parse(model):
    """The parser takes no YAML merges (PyYAML has resolved them), and no host-gateway."""
    text = yaml.safe_dump(model).replace("host-gateway", "172.17.0.1")
    return PyCompose.from_yaml(text)


def test_it_is_valid_by_the_specification():
    assert set(parse(MODEL).service_names()) == set(SERVICES)


def test_the_specification_would_refuse_a_wrong_key():
    wrong = {**MODEL, "services": {"bridge": {**SERVICES["bridge"], "read_onl": True}}}
    with pytest.raises(ValueError, match="read_onl"):
        parse(wrong)


def test_there_is_one_worker_for_each_model():
    queues = [
        one["command"][-1]
        for name, one in SERVICES.items()
        if name.startswith("worker")
    ]
    assert queues == [model.queue for model in SETTINGS.settings.models]


def test_all_of_its_configuration_is_active():
    assert SETTINGS.notes == ()


@pytest.mark.parametrize("name", OURS)
def test_a_service_of_ours_can_write_nothing_and_is_not_root(name):
    one = SERVICES[name]
    assert one["read_only"] is True
    assert one["user"] == "10001:10001"
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]


def test_nothing_is_published_beyond_this_machine():
    published = [port for one in SERVICES.values() for port in one.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize("name", ["bridge", "worker-gpt4", "worker-llama3"])
def test_a_health_check_asks_the_port_that_the_service_has(name):
    http = SETTINGS.settings.http
    port = http.bridge_port if name == "bridge" else http.worker_port
    assert f"127.0.0.1:{port}/readyz" in SERVICES[name]["healthcheck"]["test"][-1]


def test_a_stop_waits_longer_than_what_runs_may_take():
    drain_s = SETTINGS.settings.timing.drain_s
    for name in LASTING:
        if name != "flower":
            assert int(SERVICES[name]["stop_grace_period"].rstrip("s")) > drain_s


def test_the_example_of_the_env_file_names_every_variable():
    wanted = set(re.findall(r"\$\{([A-Z_]+)", TEXT))
    sample = (COMPOSE / ".env.example").read_text("utf-8")
    assert set(re.findall(r"^([A-Z_]+)=", sample, re.MULTILINE)) == wanted


def test_what_the_image_copies_is_there():
    dockerfile = (COMPOSE / "Dockerfile").read_text("utf-8")
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    for source in " ".join(copies).split():
        assert (ROOT / source).exists(), source


@pytest.mark.timeout(240)
def test_the_image_is_built_by_a_command_that_works(tmp_path):
    """What the Dockerfile runs, with what it copies, on this machine."""
    dockerfile = (COMPOSE / "Dockerfile").read_text("utf-8")
    (line,) = re.findall(r"^RUN (uv sync .+)$", dockerfile, re.MULTILINE)
    copies = re.findall(r"^COPY (?!--from)(.+) (\S+)$", dockerfile, re.MULTILINE)
    for sources, _ in copies:
        for name in sources.split():
            here, there = ROOT / name, tmp_path / "build" / name
            there.parent.mkdir(exist_ok=True)
            shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)
    command = line.replace("/usr/local/bin/python", sys.executable)
    target = tmp_path / "agentsched"
    subprocess.run(
        command.split(),
        cwd=tmp_path / "build",
        env=os.environ
        | {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "UV_PROJECT_ENVIRONMENT": str(target),
        },
        check=True,
        capture_output=True,
    )
    shutil.rmtree(tmp_path / "build")  # it is not editable: it stands without it
    said = subprocess.run(
        [target / "bin" / "agentsched", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "version" in said.stdout
    assert not list(target.glob("bin/pytest"))


class Host:
    """This machine in place of the containers: same commands, same variables."""

    def __init__(self, root: Path, bootstrap: str, redis_url: str, prefix: str) -> None:
        self.root = root
        # Others use this Kafka, too.
        names = [f"{prefix}{cls}_priority" for cls in ("high", "medium", "low")]
        self._topics = {
            "INPUT_TOPICS": ",".join(names),
            "OUTPUT_TOPIC": f"{prefix}results",
            "AGENTSCHED__KAFKA__GROUP_ID": f"{prefix}bridge",
        }
        self._ports = dict(zip(("9790", "9791", "5555"), free_ports(3), strict=True))
        self._servers = {"BOOTSTRAP_SERVERS": bootstrap, "REDIS_URL": redis_url}
        shutil.copy(COMPOSE / "agentsched.yaml", root / "agentsched.yaml")

    def environment(self, name: str) -> dict[str, str]:
        stated = {
            key: re.sub(r"\$\{([A-Z_]+).*\}", lambda m: SECRETS[m[1]], str(value))
            for key, value in SERVICES[name]["environment"].items()
        }
        assert stated.keys() >= self._servers.keys()
        base = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(self.root),
            # Free ports: another bridge or worker may run on this machine.
            "AGENTSCHED__HTTP__BRIDGE_PORT": str(self._ports["9790"]),
            "AGENTSCHED__HTTP__WORKER_PORT": str(self._ports["9791"]),
            "FLOWER_PORT": str(self._ports["5555"]),
        }
        return {**base, **stated, **self._servers, **self._topics}

    def command(self, name: str) -> list[str]:
        program, *rest = SERVICES[name]["command"]
        return [str(BIN / program), *rest]

    def run(self, name: str) -> None:
        subprocess.run(
            self.command(name),
            cwd=self.root,
            env=self.environment(name),
            check=True,
            capture_output=True,
            timeout=240,
        )

    def is_healthy(self, name: str) -> bool:
        kind, *check = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        for stated, ours in self._ports.items():
            check[-1] = check[-1].replace(f":{stated}/", f":{ours}/")
        env = self.environment(name)
        done = subprocess.run(check, env=env, capture_output=True, check=False)
        return done.returncode == 0


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_every_service_runs_with_its_settings_until_it_is_healthy(
    tmp_path, kafka, topic_prefix
):
    with EmbeddedValkey(tmp_path / "valkey", tmp_path / "valkey.log") as valkey:
        host = Host(tmp_path, kafka.bootstrap, valkey.url, topic_prefix)
        host.run("topics")
        for name in LASTING:
            assert not host.is_healthy(name), f"something else is at {name}'s port"
            child = GuardedChild(
                host.command(name),
                log_path=tmp_path / f"{name}.log",
                env=host.environment(name),
                cwd=tmp_path,
            )
            with child:
                eventually(
                    lambda name=name: host.is_healthy(name),
                    timeout_s=60,
                    message=f"{name} is healthy; its log is in {tmp_path}",
                )
