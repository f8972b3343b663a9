"""Tell a topic from another one of the same name."""

import logging
from collections.abc import Iterable

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from agentsched.kafka.errors import code_of, description_of

ANSWER_S = 5.0
_NO_IDS_HERE = frozenset(
    {KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION}  # noqa: SLF001  (its public name)
)

logger = logging.getLogger(__name__)


def topic_ids(admin: AdminClient, topics: Iterable[str]) -> dict[str, str]:
    """Return an id for each topic; a topic that is made again has another one.

    Brokers without topic ids (before Kafka 2.8) get the cluster's id: another
    broker, another id. Blocks for a round trip.

    Raises:
        KafkaException: Kafka did not answer.
    """
    names = list(topics)
    futures = admin.describe_topics(TopicCollection(names), request_timeout=ANSWER_S)
    found: dict[str, str] = {}
    for name, future in futures.items():
        try:
            found[name] = str(future.result().topic_id)
        except KafkaException as error:
            if code_of(error) not in _NO_IDS_HERE:
                raise  # another name for the same topic would hide what is answered
            logger.info("no id for topic %s: %s", name, description_of(error))
    if len(found) < len(names):
        cluster = str(admin.list_topics(timeout=ANSWER_S).cluster_id)
        found = {name: found.get(name, cluster) for name in names}
    return found
