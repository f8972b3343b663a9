"""What a bridge does: it carries out the core's commands, and answers with events.

`executor.py` knows who does which command, and what counts when Redis does not answer.
Nothing here decides what is to be done.
"""

from bridge.effects.adapters import Outside
from bridge.effects.deferred import Inbox, Later, failing, wake
from bridge.effects.executor import Effects

__all__ = ["Effects", "Inbox", "Later", "Outside", "failing", "wake"]
