"""Runs the command `agentsched` as a user would, with one configuration."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentsched.embedded.services import environment
from tests.support.preloaded import run_preloaded

ROOT = Path(__file__).parents[2]


def run_agentsched(
    folder: Path,
    *arguments: str,
    secrets: Mapping[str, str] | None = None,
    text_in: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder that has an agentsched.yaml, 80 columns wide."""
    return run_preloaded(
        ["agentsched", *arguments],
        env=command_environment(folder, secrets),
        cwd=folder,
        text_in=text_in,
    )


def start_agentsched(
    folder: Path, *arguments: str, **streams: Any
) -> "subprocess.Popen[str]":
    """Start it; `streams` are those of Popen."""
    return subprocess.Popen(
        [sys.executable, "-m", "agentsched", *arguments],
        env=command_environment(folder),
        cwd=folder,
        text=True,
        **streams,
    )


def command_environment(
    folder: Path, secrets: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Of a command that finds its configuration in this folder."""
    ours = environment(
        os.environ | {"PYTHONPATH": str(ROOT)},
        folder / "agentsched.yaml",
        secrets or {},
    )
    return {**ours, "COLUMNS": "80"}
