"""Has Flower ask for a login, and show what a request is; called when Flower starts.

Flower serves everybody by default, and its pages can stop workers. It reads its options
at every request, so that they can be filled in here; it imports the modules of the
Celery app before it opens its port.
"""

import ast
from typing import Any

import click

from agentsched.errors import ConfigurationError
from agentsched.flower.login import CHOOSE_ONE, flower_login

COLUMNS = "name,uuid,state,received,runtime,worker"
"""Flower's own default of `--tasks-columns`."""
OUR_COLUMNS = "state,kwargs,result,received,runtime,worker,uuid"
"""With what a request is; the name is the same for all tasks."""
LOCAL = "127.0.0.1"


def guard_flower(**_: object) -> None:
    """Protect Flower, where this process is about to become one.

    A receiver of Celery's `import_modules`.

    Raises:
        SystemExit: with one line, when there is no login and none can be made.
    """
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    # Imported late: nobody else needs Flower.
    from flower.views.monitor import Metrics  # type: ignore[import-untyped]  # noqa: PLC0415
    from tornado.options import options  # noqa: PLC0415
    from tornado.web import authenticated  # noqa: PLC0415

    # Flower leaves it open: it names workers, tasks and their times.
    Metrics.get = authenticated(Metrics.get)
    if options.tasks_columns == COLUMNS:
        options.tasks_columns = OUR_COLUMNS
    if options.format_task is None:
        options.format_task = readable
    if not (options.basic_auth or options.auth):
        try:
            _ask_for_our_login(options)
        except ConfigurationError as error:
            raise SystemExit(f"agentsched flower: {error}") from None


def readable(task: Any) -> Any:  # noqa: ANN401  (a task of Celery's events)
    """Have a task's page and row say what it is in few words; changes its copy.

    A row shows the first 45 characters or so.
    """
    try:
        shown = ast.literal_eval(task.kwargs)
        task.kwargs = (
            f"model {shown['model']}, class {shown['class']},"
            f" agent {shown['agent_id']}, correlation_id {shown['correlation_id']}"
        )
    except (ValueError, SyntaxError, TypeError, KeyError):
        pass  # none of ours, or its first event was missed
    return task


def _ask_for_our_login(options: Any) -> None:  # noqa: ANN401  (tornado's, untyped)
    login = flower_login()
    options.basic_auth = [login.basic_auth]
    if not options.address:
        options.address = LOCAL
    password = (
        f"password {login.password} (made now, and kept in {login.path})"
        if login.is_new
        else f"password in {login.path}"
    )
    click.echo(
        f"Flower asks for a login: user {login.user}, {password}.\n"
        f"It listens on {options.address}; {CHOOSE_ONE}, and --address=0.0.0.0 to let"
        " others in.",
        err=True,
    )
