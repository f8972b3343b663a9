"""What the core needs of the configuration, in the units that it uses; pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentsched.config.settings import AgentSettings, ModelSettings, Settings
from agentsched.ledger.values import Limits
from agentsched.scheduling.order import CLASSES
from agentsched.types import TaskType
from agentsched.wire.dead_letters import dead_letter_topic
from agentsched.wire.topic_class import class_of_topic


@dataclass(frozen=True, slots=True)
class Rules:
    """One revision of the configuration, ready for use."""

    settings: Settings
    agents: Mapping[str, AgentSettings] = field(init=False, repr=False, compare=False)
    """By id: there may be 100,000, and each request asks for one."""
    models: Mapping[str, ModelSettings] = field(init=False, repr=False, compare=False)
    """By name."""
    ready_max_entries: int = field(init=False, repr=False, compare=False)
    """The bound of the ready set."""
    blocked_agents: frozenset[str] = field(init=False, repr=False, compare=False)
    """The agents whose requests the configuration refuses."""
    _able: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        settings = self.settings
        put = object.__setattr__
        put(self, "agents", {agent.id: agent for agent in settings.agents})
        put(self, "models", {model.name: model for model in settings.models})
        put(self, "ready_max_entries", settings.ready_max_entries)
        blocked = frozenset(agent.id for agent in settings.agents if agent.blocked)
        put(self, "blocked_agents", blocked)
        able = {
            task: tuple(m.name for m in settings.models if task in m.task_types)
            for task in TaskType
        }
        put(self, "_able", able)

    def limits(self) -> Limits:
        """Return the limits that the ledger's steps enforce."""
        limits = self.settings.limits
        return Limits(
            capacity=self.capacity(),
            max_in_flight=limits.max_in_flight,
            ready_max_entries=self.ready_max_entries,
            horizon_s=limits.horizon_s,
        )

    def capacity(self) -> dict[tuple[str, str], int]:
        """Return (model, endpoint) -> requests in flight."""
        return {
            (model.name, endpoint.name): endpoint.capacity
            for model in self.settings.models
            for endpoint in model.endpoints
        }

    def models_for(self, task_type: str) -> tuple[str, ...]:
        """Return the models that support a task type, in the configured order."""
        return self._able.get(task_type, ())

    def agent(self, agent_id: str) -> AgentSettings | None:
        """Return what is configured for an agent, if anything."""
        return self.agents.get(agent_id)

    def allowed_class(self, agent_id: str, cls: str) -> str:
        """Return the class at which a request runs: the agent's highest, or a lower one."""
        agent = self.agent(agent_id)
        return max(cls, agent.max_priority.value, key=CLASSES.index) if agent else cls

    def ttl_s(self, agent_id: str) -> float:
        """Return the time to live of an agent's requests that state none, in seconds."""
        agent = self.agent(agent_id)
        return (agent and agent.ttl_s) or self.settings.limits.ttl_s

    def class_of_topic(self, topic: str) -> str:
        """Return the class of requests on `topic` that state none."""
        return class_of_topic(topic, self.settings.kafka.input_topics).value

    def answer_topics(self) -> tuple[str, ...]:
        """Return the topics into which replies and dead letters are written."""
        kafka = self.settings.kafka
        letters = map(dead_letter_topic, kafka.input_topics)
        return (kafka.output_topic, *kafka.reply_topics, *letters)
