"""`python -m bridge`: arguments, signals and exit codes; nothing else."""

import logging
import signal
import sys

import click

from agentsched.config.loader import LoadedSettings, load_settings
from agentsched.config.revision import Revision, revise
from agentsched.config.section import named
from agentsched.errors import AgentSchedError, ConfigurationError
from agentsched.preflight import insist
from agentsched.telemetry.events import (
    CONFIGURATION_NEEDS_RESTART,
    CONFIGURATION_NOTE,
)
from agentsched.telemetry.logs import configure, say
from bridge import garbage
from bridge.bootstrap import Bridge, build_bridge, prepare_topics
from bridge.core.rules import Rules


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log debug messages, too.")
def main(*, verbose: bool) -> None:
    """Run the bridge: from Kafka's priority topics to the models' Celery queues.

    The configuration is read from $AGENTSCHED_CONFIG (default agentsched.yaml) and
    the environment; SIGHUP reads it again. SIGTERM and Ctrl-C drain: nothing new is
    started, requests in flight are waited for (timing.drain_s), offsets committed.
    Any number of bridges may run side by side.
    """
    level = logging.DEBUG if verbose else None
    try:
        bridge = _build(level)
    except AgentSchedError as error:
        click.echo(f"bridge: {error}", err=True)
        sys.exit(2)
    daemon = bridge.daemon
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(
        signal.SIGHUP, lambda *_: daemon.reload(lambda rules: _reload(level, rules))
    )
    garbage.freeze()
    try:
        bridge.run()
    except ConfigurationError as error:
        click.echo(f"bridge: {error}", err=True)
        sys.exit(2)
    except AgentSchedError as error:
        click.echo(f"bridge: {error}", err=True)
        sys.exit(1)


def _build(level: int | None) -> Bridge:
    loaded = load_settings()
    configure(loaded.settings.logging, "bridge", level=level)
    _tell(loaded)
    insist(loaded.settings)
    for topic in prepare_topics(loaded.settings):
        say(
            CONFIGURATION_NOTE,
            detail=f"dead-letter topic {topic} is missing and this broker cannot create"
            " it: create it, else bad records of its input topic cannot be put aside",
        )
    return build_bridge(loaded.settings)


def _reload(level: int | None, rules: Rules) -> Rules:
    loaded = load_settings()
    insist(loaded.settings)
    revision = revise(rules.settings, loaded.settings)
    configure(revision.settings.logging, "bridge", level=level)
    _tell(loaded)
    _tell_of_restarts(revision)
    return Rules(revision.settings)


def _tell_of_restarts(revision: Revision) -> None:
    kept = {
        "bridges": (revision.of_bridges, "; ".join(map(str, revision.of_bridges))),
        "workers": (revision.of_workers, None),
    }
    for restart, (changes, detail) in kept.items():
        if changes:
            keys = [named(each.path) for each in changes]
            say(CONFIGURATION_NEEDS_RESTART, restart=restart, keys=keys, detail=detail)


def _tell(loaded: LoadedSettings) -> None:
    for note in loaded.notes:
        say(CONFIGURATION_NOTE, detail=note)


if __name__ == "__main__":
    main()
