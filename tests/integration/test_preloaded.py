"""A command that was forked says and returns what a new process would."""

import os
import subprocess
import sys

import pytest

from tests.support.preloaded import ROOT, run_preloaded

CONFIG = """\
models:
  - name: gpt-4
    endpoints:
      - {base_url: "http://server/v1", capacity: 4}
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["nonsense"],
        ["config", "show"],
        ["config", "check", "not-there.yaml"],
        ["status"],
    ],
    ids=" ".join,
)
def test_it_is_as_a_new_process(words, tmp_path):
    (tmp_path / "agentsched.yaml").write_text(CONFIG)
    environ = os.environ | {
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "77",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    new = subprocess.run(
        [sys.executable, "-m", "agentsched", *words],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    forked = run_preloaded(["agentsched", *words], cwd=tmp_path, env=environ)
    assert forked.returncode == new.returncode
    assert (forked.stdout, forked.stderr) == (new.stdout, new.stderr)
    assert new.stdout + new.stderr


def test_it_reads_what_it_is_given(tmp_path):
    done = run_preloaded(
        ["base64", "-d"], cwd=tmp_path, env=os.environ, text_in="bm90aGluZyBsb3N0"
    )
    assert (done.returncode, done.stdout) == (0, "nothing lost"), done.stderr
