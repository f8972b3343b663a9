"""What agents import: one client for all requests of a process, and its errors."""

from agentsched.client.client import AgentClient
from agentsched.client.errors import (
    ClientClosed,
    InvalidRequest,
    ReplyTimeout,
    RequestConflict,
    RequestError,
    RequestFailed,
    RequestNotAccepted,
)
from agentsched.client.request_record import RequestOptions

__all__ = [
    "AgentClient",
    "ClientClosed",
    "InvalidRequest",
    "ReplyTimeout",
    "RequestConflict",
    "RequestError",
    "RequestFailed",
    "RequestNotAccepted",
    "RequestOptions",
]
