"""docs/how-to/your-kafka.md and your-redis.md: every configuration there is accepted."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from agentsched.config.loader import parse_settings
from agentsched.config.redis_url import parse_redis_url
from agentsched.kafka.property_check import refused_properties
from tests.support import guides

PAGES = Path(__file__).parents[3] / "docs" / "how-to"
NAMES = ("your-kafka.md", "your-redis.md")
TEXT = {name: (PAGES / name).read_text("utf-8") for name in NAMES}
ALL = "".join(TEXT.values())
FILES = [
    pytest.param(block, id=f"{name}-{number}")
    for name, text in TEXT.items()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
]


@pytest.mark.parametrize("text", FILES)
def test_a_configuration_of_the_page_loads_and_all_of_it_is_active(text):
    # A login has its password in the variable that the page exports.
    (exported,) = re.findall(r"export (AGENTSCHED__\w+)=", ALL)
    environ = {exported: "p"} if "sasl.username" in text else {}
    loaded = parse_settings(text, environ=environ)
    assert loaded.notes == ()
    assert refused_properties(loaded.settings.kafka) == {}


def test_every_form_of_a_redis_url_of_the_page_is_one():
    urls = re.findall(r"`((?:rediss?|sentinel)://[^`]*)`", TEXT["your-redis.md"])
    assert len(urls) >= 5
    for url in urls:
        parse_redis_url(url)


@pytest.mark.parametrize("name", NAMES)
def test_its_links_lead_somewhere(name):
    for link in re.findall(r"\]\(((?!https?:)[^)#]+)\)", TEXT[name]):
        assert (PAGES / link).exists(), link


def test_what_the_ledgers_scripts_call_is_in_the_access_rule():
    (rule,) = (
        words
        for words in map(guides.words, guides.all_commands("docs/how-to/your-redis.md"))
        if words[1:4] == ["ACL", "SETUSER", "blue"]
    )
    scripts = files("agentsched.ledger") / "lua"
    text = "".join(each.read_text("utf-8") for each in scripts.iterdir())
    called = set(re.findall(r"redis\.p?call\('(\w+)'", text))
    assert len(called) > 30
    assert {f"+{name.lower()}" for name in called} <= set(rule)
