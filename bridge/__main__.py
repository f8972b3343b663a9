"""`python -m bridge`: arguments, signals and exit codes; nothing else."""

import logging
import signal
import sys

import click

from agentsched.config.loading import LoadedSettings, load_settings
from agentsched.errors import AgentSchedError
from bridge.bootstrap import build_daemon, check, prepare_topics
from bridge.core.rules import Rules
from bridge.daemon import Daemon

log = logging.getLogger("agentsched.bridge")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", is_flag=True, help="Log debug messages, too.")
def main(*, verbose: bool) -> None:
    """Run the bridge: from Kafka's priority topics to the models' Celery queues.

    The configuration is read from $AGENTSCHED_CONFIG (default agentsched.yaml) and
    the environment; SIGHUP reads it again. SIGTERM and Ctrl-C drain: nothing new is
    started, requests in flight are waited for (timing.drain_s), offsets committed.
    Any number of bridges may run side by side.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    try:
        daemon = _build()
    except AgentSchedError as error:
        click.echo(f"bridge: {error}", err=True)
        sys.exit(2)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload(_reload))
    try:
        daemon.run()
    except AgentSchedError as error:
        click.echo(f"bridge: {error}", err=True)
        sys.exit(1)


def _build() -> Daemon:
    loaded = load_settings()
    _tell(loaded)
    check(loaded.settings)
    for topic in prepare_topics(loaded.settings):
        log.warning(
            "dead-letter topic %s is missing and this broker cannot create it:"
            " create it, else bad records of its input topic cannot be put aside",
            topic,
        )
    return build_daemon(loaded.settings)


def _reload() -> Rules:
    loaded = load_settings()
    check(loaded.settings)
    _tell(loaded)
    return Rules(loaded.settings)


def _tell(loaded: LoadedSettings) -> None:
    for note in loaded.notes:
        log.info("%s", note)


if __name__ == "__main__":
    main()
