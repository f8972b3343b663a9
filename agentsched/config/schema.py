"""The JSON schema of the configuration, for editors; derived, never written by hand."""

from typing import Any

from agentsched.config.catalogue import settings_of, walk
from agentsched.config.section import Published, Secret, Section
from agentsched.config.settings import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return what a configuration file must look like, with every sentence."""
    schema = Settings.model_json_schema()
    definitions = schema.get("$defs", {})
    for section in _sections():
        whole = schema if section is Settings else definitions[section.__name__]
        _complete(whole["properties"], section)
    for name, setting in settings_of(Settings).items():
        if setting.section:
            # A section with all its keys commented out is null.
            properties = schema["properties"]
            properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    return {"$schema": DIALECT} | schema | {"title": "agentsched.yaml"}


def _sections() -> set[type[Section]]:
    return {Settings} | {each.section for _, each in walk() if each.section}


def _complete(properties: dict[str, Any], section: type[Section]) -> None:
    for name, setting in settings_of(section).items():
        properties[name]["description"] = setting.sentence
        if setting.marked(Secret):
            properties[name]["writeOnly"] = True
        if published := setting.marked(Published):
            note = f"The published name of `{name}`."
            properties[published.name] = properties[name] | {"description": note}
