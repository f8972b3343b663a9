"""Owns a model server that pretends: OpenAI-compatible, for the demo only.

Run as `python -m agentsched.embedded.model_server --port 0`; it prints its base URL.
It makes up its answers, takes as long as a model of that name would, checks no key,
and logs no request. It ends on SIGTERM. Not for measurements, not for production.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from typing import Any
from uuid import uuid4

from aiohttp import web

from agentsched.embedded.demo_models import DEMO_MODELS, DemoModel

MAX_REQUEST_BYTES = 16 * 1024 * 1024
SHUTDOWN_S = 1.0
JITTER_SIGMA = 0.25
"""Of a log-normal factor: most answers within -22 % and +28 % of the median."""
ANSWER_TOKENS = (12, 60)
CHARACTERS_PER_TOKEN = 4
IMAGE_TOKENS = 256
SENTENCE = "this is a made up answer of the demo model server and it says nothing"


def build_app(seed: int | None = None, *, any_model: bool = False) -> web.Application:
    """Build the application.

    Args:
        seed: for the same lengths and delays in the same order every time.
        any_model: serve every name, at the pace of the first demo model.
    """
    app = web.Application(client_max_size=MAX_REQUEST_BYTES)
    app[_DEFAULT] = DEMO_MODELS[0] if any_model else None
    app[_RANDOM] = random.Random(seed)  # noqa: S311  (delays, not secrets)
    app.add_routes(
        [
            web.get("/health", _health),
            web.get("/v1/models", _models),
            web.post("/v1/chat/completions", _chat),
        ]
    )
    return app


_RANDOM = web.AppKey("random", random.Random)
_DEFAULT = web.AppKey[DemoModel | None]("default")


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _models(_request: web.Request) -> web.Response:
    data = [{"id": m.name, "object": "model", "owned_by": "demo"} for m in DEMO_MODELS]
    return web.json_response({"object": "list", "data": data})


async def _chat(request: web.Request) -> web.Response:
    try:
        body = await request.json()
    except ValueError:
        return _refuse(400, "the body is not JSON")
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return _refuse(400, "`messages` must be a list")
    name, default = str(body.get("model")), request.app[_DEFAULT]
    model = next((m for m in DEMO_MODELS if m.name == name), default)
    if model is None:
        names = ", ".join(m.name for m in DEMO_MODELS)
        return _refuse(404, f"unknown model; this server has {names}")
    if body.get("stream"):
        return _refuse(400, "the demo model server does not stream")
    chance = request.app[_RANDOM]
    tokens, finish_reason = _length(body, chance)
    await asyncio.sleep(_duration_s(model, tokens, chance))
    return web.json_response(_completion(body, tokens, finish_reason))


def _length(body: dict[str, Any], chance: random.Random) -> tuple[int, str]:
    wanted = chance.randint(*ANSWER_TOKENS)
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if isinstance(limit, int) and 0 < limit < wanted:
        return limit, "length"
    return wanted, "stop"


def _duration_s(model: DemoModel, tokens: int, chance: random.Random) -> float:
    jitter = chance.lognormvariate(0.0, JITTER_SIGMA)
    return (model.first_token_s + tokens / model.tokens_per_s) * jitter


def _completion(
    body: dict[str, Any], tokens: int, finish_reason: str
) -> dict[str, Any]:
    prompt_tokens = sum(_tokens_of(message) for message in body["messages"])
    words = SENTENCE.split()
    answer = " ".join(words[i % len(words)] for i in range(tokens))
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": str(body["model"]),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": prompt_tokens + tokens,
        },
    }


def _tokens_of(message: object) -> int:
    """A rough estimate, as a model server would count."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return len(content) // CHARACTERS_PER_TOKEN + 1
    if isinstance(content, list):
        return sum(
            IMAGE_TOKENS
            if isinstance(part, dict) and part.get("type") != "text"
            else len(json.dumps(part)) // CHARACTERS_PER_TOKEN
            for part in content
        )
    return 1


def _refuse(status: int, message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "code": None}
    return web.json_response({"error": error}, status=status)


async def serve(port: int, seed: int | None, *, any_model: bool = False) -> None:
    """Serve on loopback until SIGTERM or SIGINT; prints the base URL first."""
    runner = web.AppRunner(
        build_app(seed, any_model=any_model),
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}/v1\n")
        sys.stdout.flush()
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--seed", type=int, help="repeat the same lengths and delays")
    parser.add_argument("--any-model", action="store_true", help="serve every name")
    given = parser.parse_args()
    asyncio.run(serve(given.port, given.seed, any_model=given.any_model))


if __name__ == "__main__":
    main()
