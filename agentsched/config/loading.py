"""Read the settings from the YAML file and the environment; nothing else does.

The environment wins over the file. Values of the wrong kind, unknown keys and
contradictions become one `ConfigurationError` that lists them all.
"""

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from agentsched.config.settings import Settings
from agentsched.errors import ConfigurationError

DEFAULT_FILE = "agentsched.yaml"
DEFAULT_BASE_URL = "http://127.0.0.1:30000/v1"


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and what the person who wrote them should be told."""

    settings: Settings
    notes: tuple[str, ...] = ()
    """Keys that are accepted and not active yet, models that were filled in."""


def load_settings(environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read `AGENTSCHED_CONFIG` (default `agentsched.yaml`) and the environment.

    A missing default file is no error; a missing named one is.

    Raises:
        ConfigurationError: names the file, every wrong key, its value and what to do.
    """
    environ = os.environ if environ is None else environ
    named = environ.get("AGENTSCHED_CONFIG")
    path = Path(named or DEFAULT_FILE)
    if not path.is_file():
        if named:
            msg = f"AGENTSCHED_CONFIG names {named!r}, which is no file"
            raise ConfigurationError(msg)
        return parse_settings("", source="the environment", environ=environ)
    return parse_settings(path.read_text("utf-8"), source=str(path), environ=environ)


def parse_settings(
    text: str, *, source: str = "the text", environ: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Turn YAML text and published environment variables into settings.

    Args:
        text: the YAML document; empty for none.
        source: how errors name it.
        environ: the environment; None for an empty one.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    environ = environ or {}
    data = _read_yaml(text, source)
    notes = _rename_published_keys(data)
    _apply_environment(data, environ)
    notes += _add_models_of_agents(data, environ)
    notes += _inactive(data)
    try:
        return LoadedSettings(Settings.model_validate(data), tuple(notes))
    except ValidationError as error:
        raise ConfigurationError(_explain(error, source)) from None


def _read_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        msg = f"{source}{line}: not valid YAML: {getattr(error, 'problem', error)}"
        raise ConfigurationError(msg) from None
    if not isinstance(data, dict):
        msg = f"{source}: must be a mapping of sections such as `kafka:` and `models:`"
        raise ConfigurationError(msg)
    return data


def _rename_published_keys(data: dict[str, Any]) -> list[str]:
    """The published sample says `kafka.topics` for the input topics."""
    kafka = data.get("kafka")
    if isinstance(kafka, dict) and "topics" in kafka and "input_topics" not in kafka:
        data["kafka"] = {k: v for k, v in kafka.items() if k != "topics"} | {
            "input_topics": kafka["topics"]
        }
    return []


def _apply_environment(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    kafka = dict(data.get("kafka") or {}) if not data.get("kafka") else data["kafka"]
    changes: dict[str, Any] = {}
    if servers := environ.get("BOOTSTRAP_SERVERS"):
        changes["bootstrap_servers"] = _listed(servers)
    if topics := environ.get("INPUT_TOPICS"):
        changes["input_topics"] = _listed(topics)
    if topic := environ.get("OUTPUT_TOPIC"):
        changes["output_topic"] = topic
    if changes and isinstance(kafka, dict):
        data["kafka"] = kafka | changes
    if url := environ.get("REDIS_URL"):
        data["redis"] = {"url": url}


def _listed(text: str) -> list[str]:
    """Commas or a JSON list."""
    if text.lstrip().startswith("["):
        try:
            return [str(item) for item in json.loads(text)]
        except ValueError:
            msg = "INPUT_TOPICS and BOOTSTRAP_SERVERS take names with commas, or a JSON list"
            raise ConfigurationError(msg) from None
    return [item.strip() for item in text.split(",") if item.strip()]


def _add_models_of_agents(
    data: dict[str, Any], environ: Mapping[str, str]
) -> list[str]:
    """A model that only an agent names is served at SGLANG_BASE_URL."""
    models, agents = data.get("models") or [], data.get("agents") or []
    if not isinstance(models, list) or not isinstance(agents, list):
        return []  # validation says what is wrong with them
    known = {model.get("name") for model in models if isinstance(model, dict)}
    base_url = environ.get("SGLANG_BASE_URL") or DEFAULT_BASE_URL
    notes, added = [], []
    for agent in agents:
        name = agent.get("model") if isinstance(agent, dict) else None
        if not isinstance(name, str) or name in known:
            continue
        known.add(name)
        added.append(
            {
                "name": name,
                "endpoints": [{"base_url": base_url, "api_key_env": "LLM_API_KEY"}],
            }
        )
        notes.append(
            f"model {name!r} is named by an agent only: served at {base_url}"
            " (SGLANG_BASE_URL) with capacity 4; list it under `models:` to change that"
        )
    if added:
        data["models"] = [*models, *added]
    return notes


def _inactive(data: dict[str, Any]) -> list[str]:
    paths = [key for key in ("scaling", "load_balancing") if data.get(key)]
    for section, keys in (
        ("models", ("fallbacks",)),
        ("agents", ("weight", "max_priority")),
    ):
        entries = data.get(section) or []
        if isinstance(entries, list):
            paths += [
                f"{section}.{key}"
                for key in keys
                if any(isinstance(entry, dict) and key in entry for entry in entries)
            ]
    topics = (
        (data.get("kafka") or {}).get("input_topics")
        if isinstance(data.get("kafka"), dict)
        else None
    )
    notes = [f"`{path}` is accepted and not active yet" for path in paths]
    if isinstance(topics, list) and len(topics) not in (0, 3):
        notes += [
            f"requests on {topic!r} that state no priority are of class medium"
            for topic in topics
            if not any(str(topic).startswith(cls) for cls in ("high", "medium", "low"))
        ]
    return notes


def _explain(error: ValidationError, source: str) -> str:
    problems = error.errors()
    # A list whose item is wrong is also reported as too short: that helps nobody.
    problems = [
        one
        for one in problems
        if not any(
            other["loc"][: len(one["loc"])] == one["loc"] and other is not one
            for other in problems
        )
    ]
    lines = [f"{source}: {len(problems)} setting(s) to mend:"]
    for problem in problems:
        path = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
        if problem["type"] == "extra_forbidden":
            lines.append(f"  {path}: unknown key{_nearest(problem['loc'])}")
            continue
        text = problem["msg"].removeprefix("Value error, ")
        lines.append(f"  {path}: {text}{_shown(problem['input'])}")
    return "\n".join(lines)


def _shown(value: object) -> str:
    """Show a value, unless it is a URL, which may hold a password."""
    plain = isinstance(value, int | float) or (
        isinstance(value, str) and "//" not in value
    )
    return f" (is {value!r})" if plain else ""


def _nearest(path: tuple[int | str, ...]) -> str:
    known: dict[str, Any] = dict(Settings.model_fields)
    for part in path[:-1]:
        annotation = known[part].annotation if part in known else None
        section = next(
            (
                kind
                for kind in (annotation, *getattr(annotation, "__args__", ()))
                if hasattr(kind, "model_fields")
            ),
            None,
        )
        if section is not None:
            known = dict(section.model_fields)
    near = difflib.get_close_matches(str(path[-1]), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
