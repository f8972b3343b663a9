"""The only package that knows confluent-kafka: clients for agents, bridge and workers."""
