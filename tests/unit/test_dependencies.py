"""What `pip install agentsched` may resolve to: nothing with a known hole that we meet.

`uv.lock` pins what we test; who installs the wheel gets any version that the bounds of
`pyproject.toml` allow.
"""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
HOLES = [
    # Cross-site requests steer workers.
    ("flower", "2.2.0", "CVE-2022-51020"),
    # Unbounded headers and trailers of an answer fill the memory.
    ("aiohttp", "3.13.4", "CVE-2026-22815"),
    # Credentials follow a redirect to another origin.
    ("aiohttp", "3.14.0", "CVE-2026-47265"),
    # Requests without number are queued on one connection (the demo's model server).
    ("aiohttp", "3.14.1", "CVE-2026-54273"),
]
"""Distribution, the first version without the hole, its name."""


def bounds() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = map(Requirement, project["dependencies"])
    return {requirement.name: requirement for requirement in found}


@pytest.mark.parametrize(("name", "fixed_in", "hole"), HOLES)
def test_no_version_with_a_known_hole_may_be_installed(name, fixed_in, hole) -> None:
    bound = bounds()[name].specifier
    floors = [Version(one.version) for one in bound if one.operator in (">=", "==")]
    assert max(floors) >= Version(fixed_in), hole


@pytest.mark.parametrize("name", sorted({name for name, _, _ in HOLES}))
def test_what_is_locked_is_allowed(name) -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    (locked,) = [one["version"] for one in packages if one["name"] == name]
    assert bounds()[name].specifier.contains(locked)
