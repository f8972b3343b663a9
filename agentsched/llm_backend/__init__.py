"""The HTTP side of a worker: OpenAI-compatible servers, and nothing else knows them."""
