"""AgentSched: the scheduler between agents and LLMs.

Importing this package starts nothing and imports none of its parts, so that a
client of ours does not load Celery.
"""

__version__ = "0.1.0"
