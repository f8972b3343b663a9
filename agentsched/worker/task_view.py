"""What Celery is shown of a request, and asked about it; here nothing: see `celery_tasks`."""

from typing import TYPE_CHECKING

from agentsched.worker.time_limits import NO_LIMITS, TimeLimits

if TYPE_CHECKING:
    from agentsched.worker.execution import Ended, Run


class TaskView:
    """Told of every request that this process runs, in the loop of its slots; never blocks."""

    def limits(self) -> TimeLimits:
        """Return the time limits that are in force now."""
        return NO_LIMITS

    def revoked(self, run: "Run") -> bool:
        """Return whether somebody has revoked it, under any of its task ids."""
        del run
        return False

    def started(self, run: "Run") -> None:
        """It occupies a slot."""

    def ended(self, run: "Run", ended: "Ended") -> None:
        """The work on it is over."""

    def waiting(self) -> None:
        """There are free slots again for which nothing was listed."""
