"""What all peers share: settings from the environment, requests and replies as bytes."""

import os

import orjson

BOOTSTRAP = os.environ.get("BENCH_BOOTSTRAP", "")
TOPICS = os.environ.get("BENCH_TOPICS", "high,medium,low").split(",")
"""In the order high, medium, low."""
OUTPUT = os.environ.get("BENCH_OUTPUT", "")
GROUP = os.environ.get("BENCH_GROUP", "bench")
REDIS_URL = os.environ.get("BENCH_REDIS_URL", "")
MODEL_URL = os.environ.get("BENCH_MODEL_URL", "http://127.0.0.1:1/v1")
SLOTS: dict[str, int] = orjson.loads(os.environ.get("BENCH_SLOTS", '{"m": 16}'))
"""Model -> calls at once."""
CALL_TIMEOUT_S = 60.0
CLASSES = ("high", "medium", "low")


def chat(request: dict) -> bytes:
    """Return the body of the chat completion that a request asks for."""
    return orjson.dumps(
        {
            "model": request["model_id"],
            "messages": [{"role": "user", "content": request["content"]}],
            "stream": False,
        }
    )


def reply(request: dict, answer: bytes) -> bytes:
    """Return the reply, from the request and what the model server answered."""
    said = orjson.loads(answer)
    choice = said["choices"][0]
    labels = {key: value for key, value in request.items() if key != "content"}
    return orjson.dumps(
        labels
        | {
            "status": "completed",
            "content": choice["message"]["content"],
            "finish_reason": choice["finish_reason"],
            "usage": said["usage"],
        }
    )


def headers(request: dict) -> list[tuple[str, bytes]]:
    """Return the headers of a reply."""
    return [("correlation_id", request["correlation_id"].encode())]
