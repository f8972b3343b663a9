"""What the README shows is what the code accepts."""

import re
from pathlib import Path

import pytest

from agentsched.config.loader import parse_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")


def test_its_configuration_loads_and_all_of_it_is_active():
    (sample,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    loaded = parse_settings(sample)
    assert [model.queue for model in loaded.settings.models] == ["gpt4", "llama3"]
    assert loaded.notes == ()


def test_its_python_compiles():
    (sample,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    compile(sample, "README.md", "exec")


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_its_links_lead_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z-]+)", README))))
def test_its_make_targets_exist(target):
    assert f"\n{target}: " in (ROOT / "Makefile").read_text("utf-8")
