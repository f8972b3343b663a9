"""Runs the command `agentsched` as a user would, with one configuration."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from agentsched.embedded.services import environment

ROOT = Path(__file__).parents[2]


def run_agentsched(
    folder: Path, *arguments: str, secrets: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it in a folder that has an agentsched.yaml, 80 columns wide."""
    env = environment(
        os.environ | {"PYTHONPATH": str(ROOT)},
        folder / "agentsched.yaml",
        secrets or {},
    )
    return subprocess.run(
        [sys.executable, "-m", "agentsched", *arguments],
        env=env | {"COLUMNS": "80"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
