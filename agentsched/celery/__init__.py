"""`app`: what `celery -A agentsched` finds. Reads the settings when first asked for one."""

from typing import Any

from celery import Celery
from celery.signals import import_modules

from agentsched.celery.settings import celery_settings
from agentsched.config.loader import load_settings
from agentsched.errors import ConfigurationError
from agentsched.flower.guard import guard_flower


def _configuration() -> dict[str, Any]:
    try:
        return celery_settings(load_settings().settings)
    except ConfigurationError as error:
        # Celery's command line would print a traceback; this ends it with the sentence.
        raise SystemExit(str(error)) from None


app = Celery("agentsched", set_as_current=False)
app.add_defaults(_configuration)
import_modules.connect(guard_flower, sender=app, weak=False)
