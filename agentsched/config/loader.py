"""Read the settings from the YAML file and the environment; nothing else does.

The environment wins over the file, the file over the defaults. Everything that is
wrong becomes one `InvalidSettings`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ValidationError

from agentsched.config.catalogue import find, settings_of, walk
from agentsched.config.draft import Draft, Origin
from agentsched.config.environment import CONFIG_VARIABLE, apply_environment
from agentsched.config.problems import InvalidSettings, Problem, problems_of
from agentsched.config.section import Inactive, Published
from agentsched.config.settings import DefaultEndpointSettings, Settings
from agentsched.config.text_faults import fault_of, misspelled
from agentsched.config.yaml_text import read_yaml
from agentsched.errors import ConfigurationError
from agentsched.wire.topic_class import stated_class

DEFAULT_FILE = "agentsched.yaml"
NO_FILE = f"the environment (there is no {DEFAULT_FILE} here)"
"""For who stands in another folder than he thinks."""


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Settings, and what the person who wrote them should be told."""

    settings: Settings
    notes: tuple[str, ...] = ()
    """Keys that are accepted and not active yet, models that were filled in."""
    source: str = ""
    """The file, or that there is none."""
    draft: Draft = field(default_factory=Draft)
    """What was set, and where."""


def load_settings(environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read `AGENTSCHED_CONFIG` (default `agentsched.yaml`) and the environment.

    A missing default file is no error; a missing named one is.

    Raises:
        ConfigurationError: names the file, every wrong key, its value and what to do.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(CONFIG_VARIABLE)
    path = Path(named or DEFAULT_FILE)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if not named:
            return parse_settings("", source=NO_FILE, environ=environ)
        fault = fault_of(str(named))
        hint = f": it {fault}" if fault else ""
        raise ConfigurationError(
            f"{CONFIG_VARIABLE} names {named!r}, which is no file{hint}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}): it must be a UTF-8 text"
            " file that this user may read"
        ) from None
    return parse_settings(text, source=str(path), environ=environ)


def parse_settings(
    text: str, *, source: str = "the text", environ: Mapping[str, str] | None = None
) -> LoadedSettings:
    """Turn YAML text and variables into settings.

    Args:
        text: the YAML document; empty for none.
        source: how errors name it.
        environ: the environment; None for an empty one.

    Raises:
        ConfigurationError: see `load_settings`.
    """
    draft = read_yaml(text, source)
    _leave_out_empty(draft)
    problems = _rename_published(draft)
    problems += apply_environment(draft, environ or {})
    problems += misspelled(draft)
    notes = [*_inactive(draft), *_fill_endpoints(draft)]
    settings = _validated(draft, problems)
    if settings is None:
        raise InvalidSettings(source, problems)
    notes += [*_medium_topics(settings), *_short_urls(settings)]
    return LoadedSettings(settings, tuple(notes), source, draft)


def _leave_out_empty(draft: Draft) -> None:
    """A section with nothing below it (all commented out) is as if it were not there."""
    for name in settings_of(Settings):
        if name in draft.data and draft.data[name] is None:
            del draft.data[name]


def _rename_published(draft: Draft) -> list[Problem]:
    """Call settings by our names where the published sample has others."""
    problems = []
    for path, setting in walk():
        published = setting.marked(Published)
        old = (*path[:-1], published.name) if published else path
        if not published or not draft.has(old):
            continue
        if draft.has(path):
            text = f"says the same as {path[-1]}: keep {path[-1]} only"
            problems.append(Problem(old, text, draft.origin(old)))
            del draft.get(old[:-1])[old[-1]]
        else:
            draft.rename(old, setting.name)
    return problems


def _fill_endpoints(draft: Draft) -> Iterator[str]:
    """Serve models without endpoints, and those that only agents name, by default."""
    models = draft.data.setdefault("models", [])
    agents = draft.data.get("agents", [])
    if not isinstance(models, list) or not isinstance(agents, list):
        return  # validation says what is wrong with them
    endpoint = _default_endpoint(draft)
    origin = Origin(derived="default_endpoint")
    for at, model in enumerate(models):
        if isinstance(model, dict) and "endpoints" not in model:
            draft.put(("models", at, "endpoints"), [dict(endpoint)], origin)
    known = {model.get("name") for model in models if isinstance(model, dict)}
    for agent in agents:
        name = agent.get("model") if isinstance(agent, dict) else None
        if not isinstance(name, str) or name in known:
            continue
        known.add(name)
        models.append({"name": name, "endpoints": [dict(endpoint)]})
        draft.origins["models", len(models) - 1] = origin
        yield (
            f"model {name!r} is named by an agent only: served at"
            f" {endpoint['base_url']} (default_endpoint, SGLANG_BASE_URL) with capacity"
            f" {endpoint['capacity']}; list it under `models:` to change that"
        )


def _default_endpoint(draft: Draft) -> dict[str, object]:
    try:
        given = draft.data.get("default_endpoint", {})
        endpoint = DefaultEndpointSettings.model_validate(given)
    except ValidationError:
        endpoint = DefaultEndpointSettings()  # validation will say what is wrong
    return endpoint.model_dump(exclude_none=True)


def _inactive(draft: Draft) -> list[str]:
    paths = []
    for path in draft.origins:
        whole, setting = find(path)
        if setting is None or whole != path or path[-1] != setting.name:
            continue
        if setting.marked(Inactive) and draft.get(path) != setting.default:
            paths.append(".".join(part for part in path if isinstance(part, str)))
    return [f"`{path}` is accepted and not active yet" for path in dict.fromkeys(paths)]


def _medium_topics(settings: Settings) -> Iterator[str]:
    topics = settings.kafka.input_topics
    for topic in topics:
        if stated_class(topic, topics) is None:
            yield f"requests on {topic!r} that state no priority are of class medium"


def _short_urls(settings: Settings) -> Iterator[str]:
    urls = [each.base_url for model in settings.models for each in model.endpoints]
    for url in dict.fromkeys(urls):
        if not urlsplit(url).path:
            yield f"{url} has no path: most servers want /v1 at the end of `base_url`"


def _validated(draft: Draft, problems: list[Problem]) -> Settings | None:
    """Return the settings, or None and add to the problems."""
    try:
        settings = Settings.model_validate(draft.data)
    except ValidationError as error:
        spelled = {problem.path for problem in problems}
        found = problems_of(error, draft)
        problems += [one for one in found if one.path not in spelled]
        problems += _contradictions_of_the_rest(draft, problems)
        return None
    return None if problems else settings


def _contradictions_of_the_rest(draft: Draft, problems: list[Problem]) -> list[Problem]:
    """Sections are compared only when each is fine by itself: leave the others out."""
    wrong = {problem.path[0] for problem in problems if problem.path}
    rest = {name: part for name, part in draft.data.items() if name not in wrong}
    try:
        Settings.model_validate(rest)
    except ValidationError as error:
        found = problems_of(error, draft)
        return [one for one in found if one.path and one.path[0] not in wrong]
    return []
