"""Sections of models and of the endpoints that serve them; they read nothing."""

import re
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from agentsched.config.section import (
    Applies,
    Contradiction,
    Form,
    Inactive,
    Path,
    Section,
    repeated,
)
from agentsched.types import Label, TaskType

Variable = Annotated[
    str,
    Field(pattern=r"^[A-Z_][A-Z0-9_]*$", max_length=200),
    Form("A to Z, 0 to 9 and '_': the name of a variable, never the key itself"),
]
"""Upper case only: a key that was put there by mistake is refused, and not shown."""
RESERVED_QUEUES = frozenset({"unacked", "unacked_index", "unacked_mutex"})
"""Keys that kombu makes beside the queues."""


AZURE_HOSTS = (
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
)
ADDED_PATH = re.compile(
    r"(/(chat/)?completions|/responses|/embeddings|/models|/messages)/*$", re.IGNORECASE
)
"""What is behind the base of an OpenAI-compatible API; the worker adds its own."""


def queue_name(model: str) -> str:
    """Return the queue of a model: lower case, only a-z and 0-9 (gpt-4 -> gpt4)."""
    return re.sub(r"[^a-z0-9]", "", model.lower())


class EndpointSettings(Section):
    """One base URL + key of an OpenAI-compatible server that serves a model."""

    applies = Applies.RELOAD_WORKERS_RESTART

    base_url: str = Field(max_length=2048, examples=["https://api.example.com/v1"])
    """URL of the server, up to and with `/v1`; no user, password, query or fragment."""
    api_key_env: Variable | None = Field(default=None, examples=["OPENAI_API_KEY"])
    """Name of the environment variable that holds the key (read by workers only)."""
    api_key_file: str | None = Field(default=None, min_length=1, max_length=4096)
    """File that holds the key, instead of a variable."""
    capacity: Annotated[int, Applies.RELOAD] = Field(
        default=4, ge=1, le=10_000, examples=[7]
    )
    """Requests in flight at once at this endpoint for this model, over all workers."""

    @field_validator("base_url")
    @classmethod
    def _plain_http_url(cls, value: str) -> str:
        try:
            url = urlsplit(value)
            url.port  # noqa: B018  (raises where it is no number)
        except ValueError:
            url = urlsplit("")
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError(
                "must be an http:// or https:// URL, such as http://127.0.0.1:30000/v1"
            )
        if fault := _azure_fault(url) or _part_fault(url):
            raise ValueError(fault)
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_key(self) -> "EndpointSettings":
        if self.api_key_env and self.api_key_file:
            raise Contradiction(
                [(("api_key_file",), "stands beside `api_key_env`: keep one of them")]
            )
        return self

    @property
    def name(self) -> str:
        """What ledger and metrics call this endpoint: its URL, which holds no secret."""
        return self.base_url


class DefaultEndpointSettings(EndpointSettings):
    """Where models are served that list no endpoints, or that only an agent names."""

    base_url: str = Field(default="http://127.0.0.1:30000/v1", max_length=2048)
    """URL of the server, up to and with `/v1`; no user, password, query or fragment."""
    api_key_env: Variable | None = "LLM_API_KEY"
    """Name of the environment variable that holds the key; LLM_API_KEY may be unset."""
    capacity: Annotated[int, Applies.RELOAD] = Field(default=4, ge=1, le=10_000)
    """Requests in flight at once for each of these models, over all workers."""


class ModelSettings(Section):
    """A name that callers use, the endpoints that serve it, and its queue."""

    applies = Applies.RELOAD_WORKERS_RESTART

    name: Label = Field(min_length=1, max_length=200, examples=["gpt-4"])
    """What requests call it, and the model server, too."""
    queue: Annotated[str, Form("a-z, 0-9, '_', '.' and '-'")] = Field(
        default="", max_length=200, pattern=r"^([a-z0-9][a-z0-9_.-]*)?$"
    )
    """Celery queue of its workers; empty: the name, lower case, only a-z and 0-9."""
    task_types: Annotated[tuple[TaskType, ...], Applies.RELOAD] = Field(
        default=tuple(TaskType), min_length=1
    )
    """Task types that it may be chosen for."""
    fallbacks: Annotated[tuple[str, ...], Inactive()] = Field(
        default=(), max_length=100
    )
    """Models that answer when this one cannot, in this order."""
    endpoints: tuple[EndpointSettings, ...] = Field(default=(), max_length=1000)
    """Servers that serve it; without this key the default endpoint does."""

    @model_validator(mode="before")
    @classmethod
    def _default_queue(cls, data: Any) -> Any:  # noqa: ANN401  (pydantic's signature)
        if isinstance(data, dict) and not data.get("queue") and data.get("name"):
            return data | {"queue": queue_name(str(data["name"]))}
        return data

    @field_validator("queue")
    @classmethod
    def _queue_is_free(cls, value: str) -> str:
        if not value:
            raise ValueError(
                "the name has no letter or digit to make a queue of: set `queue:`"
            )
        if value in RESERVED_QUEUES:
            raise ValueError("is a key of Celery's own: set `queue:` to another name")
        return value

    @property
    def capacity(self) -> int:
        """Requests in flight at once over all endpoints."""
        return sum(endpoint.capacity for endpoint in self.endpoints)


def _azure_fault(url: SplitResult) -> str | None:
    """Its older API wants `?api-version=` and a header `api-key`: we send neither."""
    asks = re.search(r"(^|&)api-version=", url.query, re.IGNORECASE)
    is_azure = (url.hostname or "").lower().endswith(AZURE_HOSTS)
    if not asks and not (is_azure and not re.search(r"/v1/*$", url.path)):
        return None
    return (
        "looks like Azure's API with ?api-version= and a header api-key, which is not"
        " supported yet: use its newer one, https://RESOURCE.openai.azure.com/openai/v1,"
        " which takes the key as others do"
    )


def _part_fault(url: SplitResult) -> str | None:
    if url.username or url.password or url.query or url.fragment:
        return "must hold no user, password, query or fragment; use api_key_env"
    if found := ADDED_PATH.search(url.path):
        base = url._replace(path=url.path[: found.start()]).geturl()
        return f"must end before {found[1]}, which the worker adds: write {base}"
    return None


def contradictions(
    models: tuple[ModelSettings, ...],
) -> list[tuple[Path, str]]:
    """Return what does not go together among models."""
    return [*_wrong_models(models), *_clashing_endpoints(models)]


def _wrong_models(models: tuple[ModelSettings, ...]) -> Iterator[tuple[Path, str]]:
    for at, first in repeated(model.queue for model in models):
        name, other, queue = models[at].name, models[first].name, models[at].queue
        if name != other:
            text = (
                f"{other!r} and {name!r} share queue {queue!r};"
                " give one of them another `queue:`"
            )
            yield ("models", at, "queue"), text
    for at, _ in repeated(model.name for model in models):
        yield ("models", at, "name"), f"{models[at].name!r} stands twice"
    for at, model in enumerate(models):
        if not model.endpoints:
            text = "is empty: list a server, or remove the key for the default endpoint"
            yield ("models", at, "endpoints"), text
        for place, _ in repeated(endpoint.name for endpoint in model.endpoints):
            text = f"{model.name!r} lists {model.endpoints[place].name} twice"
            yield ("models", at, "endpoints", place, "base_url"), text


def _clashing_endpoints(
    models: tuple[ModelSettings, ...],
) -> Iterator[tuple[Path, str]]:
    """An endpoint is one server: only its capacity belongs to the model."""
    rows = [
        (("models", at, "endpoints", place), model.name, endpoint)
        for at, model in enumerate(models)
        for place, endpoint in enumerate(model.endpoints)
    ]
    for row, first in repeated(endpoint.name for _, _, endpoint in rows):
        (here, _, endpoint), (_, owner, other) = rows[row], rows[first]
        for key in EndpointSettings.model_fields:
            if key != "capacity" and getattr(other, key) != getattr(endpoint, key):
                text = (
                    f"{endpoint.name} has another `{key}` under model {owner!r};"
                    " it is one endpoint and has one value, whatever it serves"
                )
                yield (*here, key), text
