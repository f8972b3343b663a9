"""Wait so long and no longer: what is not needed any more is not paid for.

Usage: with_time_out.py [SECONDS]
"""

import os
import sys

from agentsched.client import AgentClient, RequestError, RequestFailed

KAFKA = os.environ.get("BOOTSTRAP_SERVERS", "localhost:9092")
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0

with AgentClient(KAFKA) as client:
    try:
        reply = client.request("Tell me a joke.", priority="high", timeout_s=SECONDS)
    except RequestFailed as failed:
        print(f"failed: {failed.code}", "(try again)" if failed.retryable else "")
    except RequestError as error:  # ReplyTimeout, or Kafka was not reached in time
        print(f"no answer: {error}")
    else:
        print(reply.content)
