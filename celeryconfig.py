"""Celery's configuration, derived from AgentSched's settings.

For `celery --config celeryconfig`; `celery -A agentsched` derives the same by itself.
"""

from agentsched.celery.settings import celery_settings as _celery_settings
from agentsched.config.loader import load_settings as _load_settings

globals().update(_celery_settings(_load_settings().settings))
