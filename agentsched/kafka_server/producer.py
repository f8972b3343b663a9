"""The published place of `Producer`; it is made in `agentsched.kafka.producer`."""

from agentsched.kafka.producer import Producer

__all__ = ["Producer"]
