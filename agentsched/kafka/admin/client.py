"""Asks the cluster itself: an admin client that knows why Kafka did not answer.

A question that fails ends with a time-out; what was wrong is told to a callback.
"""

from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from agentsched.config.settings import KafkaSettings
from agentsched.kafka.certificate import certificate_fault
from agentsched.kafka.errors import KafkaFailed, description_of
from agentsched.kafka.librdkafka import admin_properties, log

SAID_S = 0.1
_REFUSALS = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001  (its public name)
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)


class Asking:
    """A client for questions. Opens nothing until the first of them.

    Attributes:
        client: librdkafka's.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._servers = ", ".join(settings.bootstrap_servers)
        self._said: list[KafkaError] = []
        self._properties = admin_properties(settings)
        properties: dict[str, Any] = {
            **self._properties,
            # What is wrong is said once, by the error.
            "error_cb": self._said.append,
            "log_level": 0,
        }
        self.client = AdminClient(properties, logger=log)

    def failed(self, error: KafkaException) -> KafkaFailed:
        """Return the error of a question: names the address and says what to do."""
        self.client.poll(SAID_S)  # hands over what the client learned meanwhile
        refusals = [each.str() for each in self._said if each.code() in _REFUSALS]
        if refusals:
            why = certificate_fault(self._properties) or refusals[-1]
            return KafkaFailed(
                f"Kafka at {self._servers} refused us ({why}): check"
                " kafka.properties (security.protocol, sasl.*, ssl.*)"
            )
        return KafkaFailed(
            f"no Kafka at {self._servers} ({description_of(error)}): start it, or set"
            " kafka.bootstrap_servers (BOOTSTRAP_SERVERS) to where it is; one that wants"
            " TLS or a login needs kafka.properties"
        )
