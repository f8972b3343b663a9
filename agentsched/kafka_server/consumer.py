"""The published place of `Consumer`; it is made in `agentsched.kafka.consumer`."""

from agentsched.kafka.consumer import Consumer

__all__ = ["Consumer"]
