"""Ask from coroutines: as many as you like, over one client."""

import asyncio
import os

from agentsched.client import AgentClient

KAFKA = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")


async def main() -> None:
    """Translate some words, all at once."""
    words = ["cloud", "river", "mountain", "forest"]
    async with AgentClient(KAFKA, agent_id="planner") as client:
        asked = [client.ask(f"Translate to French: {word}") for word in words]
        replies = await asyncio.gather(*asked)
    for word, reply in zip(words, replies, strict=True):
        print(f"{word}: {reply.content}")


asyncio.run(main())
