"""Sections of the servers that AgentSched works with: Kafka and Redis."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from agentsched.config.redis_url import RedisAddress, parse_redis_url
from agentsched.config.section import (
    Address,
    Applies,
    Contradiction,
    DottedKeys,
    Form,
    Path,
    Published,
    Secret,
    Section,
)

DEFAULT_INPUT_TOPICS = ("high_priority", "medium_priority", "low_priority")
MAX_TOPICS = 1000
NOT_PROPERTIES = {
    "bootstrap.servers": "is kafka.bootstrap_servers: set it there",
    "metadata.broker.list": "is kafka.bootstrap_servers: set it there",
    "group.id": "is kafka.group_id: set it there",
    "logger": "is no key of librdkafka: remove it",
}

Server = Annotated[str, Field(min_length=1, max_length=300)]
Topic = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249),
    Form("letters, digits, '.', '_' and '-'"),
]
"""Kafka's own rule for the name of a topic."""
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]


class KafkaSettings(Section):
    """Where requests come from and replies go to."""

    applies = Applies.RESTART

    bootstrap_servers: tuple[Server, ...] = Field(
        default=("localhost:9092",), min_length=1, max_length=100
    )
    """Addresses of the brokers, `host:port`."""
    input_topics: Annotated[
        tuple[Topic, ...], Published("topics"), Applies.BRIDGES_RESTART
    ] = Field(default=DEFAULT_INPUT_TOPICS, min_length=1, max_length=MAX_TOPICS)
    """Topics with requests; of exactly three the places say high, medium and low."""
    output_topic: Topic = "results"
    """Topic of the replies."""
    reply_topics: Annotated[tuple[Topic, ...], Applies.RELOAD] = Field(
        default=(), max_length=MAX_TOPICS
    )
    """Topics that a request may name as `reply_topic`, beside the output topic."""
    group_id: Annotated[str, Applies.BRIDGES_RESTART] = Field(
        default="agentsched-bridge", min_length=1, max_length=249
    )
    """Consumer group of the bridges; unset: the namespace and `-bridge`."""
    group_protocol: Annotated[
        Literal["classic", "consumer"], Applies.BRIDGES_RESTART
    ] = "classic"
    """`consumer` is KIP-848 (Kafka 4.0 and later; the embedded broker needs it)."""
    session_timeout_s: Annotated[float, Applies.BRIDGES_RESTART] = Field(
        default=10.0, gt=0, le=1800
    )
    """Classic protocol only: a bridge that is silent for so long loses its partitions."""
    fetch_wait_ms: Annotated[int, Applies.BRIDGES_RESTART] = Field(
        default=100, ge=1, le=1000
    )
    """How long the broker may wait for more before it answers a fetch; a real broker
    answers at once when something arrives, the embedded one does not (10 there)."""
    properties: Annotated[dict[str, str | int | float | bool], DottedKeys()] = Field(
        default={}, repr=False, max_length=500
    )
    """More librdkafka keys, such as `security.protocol: SASL_SSL`; they win over ours."""

    @field_validator("properties")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        problems: list[tuple[Path, str]] = [
            ((key,), text) for key, text in NOT_PROPERTIES.items() if key in value
        ]
        if problems:
            raise Contradiction(problems)
        return value


class RedisSettings(Section):
    """Where the ledger and Celery's queues live."""

    applies = Applies.RESTART

    url: Annotated[str, Address()] = Field(
        default="redis://localhost:6379/0", max_length=8192, repr=False
    )
    """`redis://`, `rediss://` (TLS), or Sentinels: `sentinel://:PASSWORD@host:26379/0`,
    several with `;` between them. User and password are the data server's."""
    sentinel_master: str = Field(default="", max_length=200)
    """Name under which the Sentinels know the data server; for `sentinel://` only."""
    sentinel_username: str | None = Field(default=None, min_length=1, max_length=200)
    """User of the Sentinels themselves, where they want one."""
    sentinel_password: Annotated[str | None, Secret()] = Field(
        default=None, min_length=1, max_length=4096, repr=False
    )
    """Password of the Sentinels themselves; better given as a variable."""
    tls: bool = False
    """TLS for `sentinel://` URLs, to Sentinels and data server (`rediss://` has it)."""
    tls_ca_file: FilePath | None = None
    """PEM file of the certificate authority; unset: those that the system trusts."""
    tls_cert_file: FilePath | None = None
    """PEM file of our own certificate, where the server wants one."""
    tls_key_file: FilePath | None = None
    """PEM file of the key to our certificate."""
    tls_check_hostname: bool = True
    """Whether the certificate must be for the host that is called."""

    @field_validator("url")
    @classmethod
    def _known_form(cls, value: str) -> str:
        parse_redis_url(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> "RedisSettings":
        if problems := [*self._sentinel_problems(), *self._tls_problems()]:
            raise Contradiction(problems)
        return self

    @property
    def address(self) -> RedisAddress:
        """The URL, parsed."""
        return parse_redis_url(self.url)

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.tls or self.address.scheme == "rediss"

    def _sentinel_problems(self) -> list[tuple[Path, str]]:
        if self.address.is_sentinel:
            text = "say which data server the Sentinels of redis.url are asked for"
            return [] if self.sentinel_master else [(("sentinel_master",), text)]
        keys = ("sentinel_master", "sentinel_username", "sentinel_password")
        text = "is for sentinel:// URLs only: remove it, or change redis.url"
        return [((key,), text) for key in keys if getattr(self, key)]

    def _tls_problems(self) -> list[tuple[Path, str]]:
        problems: list[tuple[Path, str]] = []
        if self.tls and self.address.scheme == "redis":
            problems.append((("tls",), "spell redis.url with rediss:// instead"))
        elif not self.uses_tls:
            keys = ("tls_ca_file", "tls_cert_file", "tls_key_file")
            text = "does nothing without TLS: spell redis.url with rediss://"
            problems += [((key,), text) for key in keys if getattr(self, key)]
        if bool(self.tls_cert_file) != bool(self.tls_key_file):
            text = "tls_cert_file and tls_key_file go together: set both or none"
            problems.append((("tls_cert_file",), text))
        return problems
