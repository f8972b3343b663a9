"""Which replies a client has already handed out, bounded in number."""

from collections import OrderedDict

from agentsched.types import DEFAULT_AGENT_ID, Message, Reply

REMEMBERED = 100_000


class SeenReplies:
    """The first reply of an identity wins; later ones are duplicates.

    Kafka may carry a reply twice after a crash (delivery contract, L3). The oldest
    identities are forgotten first.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        """Start with none; `remembered` identities are kept."""
        self._remembered = remembered
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def is_first(self, message: Message) -> bool:
        """Return False for a reply whose identity was here before; else remember it."""
        if not isinstance(message, Reply) or not message.correlation_id:
            return True
        identity = (message.agent_id or DEFAULT_AGENT_ID, message.correlation_id)
        if identity in self._seen:
            return False
        self._seen[identity] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        return True
