"""Flower as users start it, and a small client for its pages."""

import base64
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.waiting import eventually

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Page:
    """One answer."""

    status: int
    text: str


class FlowerServer:
    """`celery -A agentsched flower` on a free port; a context manager.

    Args:
        root: where it runs, and logs.
        environ: has the configuration.
        options: of `flower`.
    """

    def __init__(self, root: Path, environ: Mapping[str, str], *options: str) -> None:
        self.log_path = root / "flower.log"
        self.base_url = ""
        command = [sys.executable, "-m", "celery", "-A", "agentsched", "flower"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port=0", *options],
                cwd=root,
                env=dict(environ),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        def found() -> re.Match[str] | None:
            assert self.process.poll() is None, self.log()
            return re.search(r"Visit me at (http://\S+)", self.log())

        self.base_url = eventually(found, timeout_s=30, message="Flower starts")[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace")

    def get(self, path: str, login: str = "", method: str = "GET") -> Page:
        """Ask for a page, as `user:password` or as nobody."""
        return ask(self.base_url + path, login, method)


def ask(url: str, login: str = "", method: str = "GET") -> Page:
    """Ask for a page of Flower; raises OSError where nobody answers."""
    request = urllib.request.Request(
        url, method=method, data=b"" if method == "POST" else None
    )
    if login:
        token = base64.b64encode(login.encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return Page(answer.status, answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        with error:
            return Page(error.code, error.read().decode("utf-8", "replace"))
