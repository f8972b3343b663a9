"""Asks the ledger and every bridge for a request; it changes nothing.

Bridges answer through Redis, within `PATIENCE_MS`.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agentsched.config.settings import Settings
from agentsched.errors import EpochChanged
from agentsched.ledger.bridge_reports import IndexAnswer, IndexedRequest, Question
from agentsched.ledger.protocol import WholeLedger
from agentsched.ledger.views import Description
from agentsched.operations.explain.whereabouts import Explanation, found
from agentsched.operations.status.reader import see, surroundings
from agentsched.operations.status.summary import Seen
from agentsched.types import DEFAULT_AGENT_ID
from agentsched.wire.codec import Identity

PATIENCE_MS = 3_000
"""How long bridges may take: they read their orders at once, and every second."""
POLL_MS = 50
AGENTS_TRIED = 500
"""Identities that are looked up in the ledger where no agent is named."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the bridges answered."""

    bridges: tuple[str, ...] = ()
    answers: dict[str, IndexAnswer] = field(default_factory=dict)

    @property
    def findings(self) -> list[tuple[str, IndexedRequest]]:
        """Every finding with its bridge."""
        return [
            (bridge_id, finding)
            for bridge_id, findings in sorted(self.answers.items())
            for finding in findings.found
        ]


def find(
    settings: Settings,
    ledger: WholeLedger,
    correlation_id: str,
    agent_id: str | None,
    pause: Callable[[float], None],
) -> Explanation:
    """Find a request; blocks up to `PATIENCE_MS` beside some round trips.

    Args:
        settings: names agents whose identities are tried, and limits.
        ledger: all of it.
        correlation_id: the request's, or its `id` where it has none.
        agent_id: whose it is; None: anybody's.
        pause: waits for so many seconds.

    Raises:
        LedgerUnavailable: Redis did not answer.
    """
    seen = see(ledger)
    question = Question(
        id=uuid.uuid4().hex, correlation_id=correlation_id, agent_id=agent_id
    )
    asked = _ask(ledger, seen, question, pause)
    agents = [agent_id] if agent_id is not None else _agents(settings, seen, asked)
    known = _describe(ledger, correlation_id, agents)
    around = surroundings(settings, seen)
    return Explanation(
        correlation_id=correlation_id,
        found=tuple(found(correlation_id, known, asked.findings, around)),
        bridges=len(asked.bridges),
        silent_bridges=tuple(b for b in asked.bridges if b not in asked.answers),
        complete=all(one.complete for one in asked.answers.values()),
        agents_tried=tuple(agents),
    )


def _ask(
    ledger: WholeLedger, seen: Seen, question: Question, pause: Callable[[float], None]
) -> Asked:
    bridges = tuple(one.bridge_id for one in seen.bridges)
    if not bridges:
        return Asked()
    ledger.operations.ask(question, PATIENCE_MS)
    answers: dict[str, IndexAnswer] = {}
    for _ in range(PATIENCE_MS // POLL_MS):
        pause(POLL_MS / 1000)
        answers = ledger.operations.answers(question.id)
        if answers.keys() >= set(bridges):
            break
    return Asked(bridges, answers)


def _agents(settings: Settings, seen: Seen, asked: Asked) -> list[str]:
    """Return whose identities to try in the ledger, which knows requests by these only."""
    reports = (one.report for one in seen.bridges if one.report)
    candidates = [
        *(finding.agent_id for _, finding in asked.findings),
        DEFAULT_AGENT_ID,
        *(agent.id for agent in settings.agents),
        *(load.agent_id for report in reports for load in report.agents),
    ]
    return list(dict.fromkeys(candidates))[:AGENTS_TRIED]


def _describe(
    ledger: WholeLedger, correlation_id: str, agents: Iterable[str]
) -> dict[str, Description]:
    epoch = ledger.views.epoch()
    known: dict[str, Description] = {}
    for agent_id in agents if epoch else ():
        try:
            key = Identity(agent_id, correlation_id).key
            description = ledger.views.describe(epoch or "", key)
        except EpochChanged:  # emptied just now: nothing is known
            return {}
        if description is not None:
            known[agent_id] = description
    return known
