"""All that touches Kafka's client: producer, consumer, group member, readers, admin."""
