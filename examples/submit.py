"""Submit requests at once, and take each reply when it comes."""

import os
from concurrent.futures import as_completed

from agentsched.client import AgentClient, RequestError

QUESTIONS = ["How does the internet work?", "Why is the sky blue?", "What is a quark?"]
KAFKA = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")

with AgentClient(KAFKA, agent_id="researcher") as client:
    futures = {client.submit(text, priority="low"): text for text in QUESTIONS}
    for future in as_completed(futures):
        try:
            reply = future.result()
        except RequestError as error:
            print(f"{futures[future]} has no answer: {error}")
        else:
            print(f"{futures[future]} {reply.model_id} says: {reply.content}")
