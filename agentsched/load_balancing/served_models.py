"""The models that a `Scheduler` was given, and the keys of their servers.

A key stands in memory and in the environment of a worker only, never in a file. Models
of one endpoint share its variable and its key.
"""

from collections.abc import Sequence

from agentsched.config.settings import ModelSettings
from agentsched.errors import ConfigurationError
from agentsched.load_balancing.scheduler_config import model_of
from agentsched.types import TaskType


class ServedModels:
    """Models by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._models: dict[str, ModelSettings] = {}
        self._keys: dict[str, dict[str, str]] = {}
        self._variables: dict[tuple[str, str | None], str] = {}

    @property
    def all(self) -> tuple[ModelSettings, ...]:
        """The settings of all of them; they name variables, and hold no key."""
        return tuple(self._models.values())

    def environment(self, model_id: str) -> dict[str, str]:
        """Return the variable that has the key of a model's server, if it has one."""
        return self._keys[model_id]

    def add(
        self,
        model_id: str,
        capacity: int,
        supported_tasks: Sequence[TaskType | str],
        base_url: str,
        api_key: str | None,
    ) -> ModelSettings:
        """Add a model; see `Scheduler.add_llm_model`.

        Raises:
            ConfigurationError: a value is wrong, or the model is known already.
        """
        if model_id in self._models:
            raise ConfigurationError(f"model {model_id!r} has been added already")
        api_key = api_key or self._key_of(base_url)
        variable = self._variable(base_url, api_key)
        model = model_of(
            model_id, capacity, supported_tasks, base_url, api_key and variable
        )
        self._models[model_id] = model
        self._keys[model_id] = {variable: api_key} if api_key else {}
        return model

    def remove(self, model_id: str) -> None:
        """Take a model back that does not fit to the others."""
        del self._models[model_id], self._keys[model_id]

    def _variable(self, base_url: str, api_key: str | None) -> str:
        place = (base_url.rstrip("/"), api_key)
        return self._variables.setdefault(
            place, f"AGENTSCHED_KEY_{len(self._variables)}"
        )

    def _key_of(self, base_url: str) -> str | None:
        """Return the key of an endpoint: one server has one, whatever it serves."""
        for name, model in self._models.items():
            if model.endpoints[0].base_url == base_url.rstrip("/"):
                return next(iter(self._keys[name].values()), None)
        return None
