"""Every error of the Redis client becomes one of ours, without a value in its text."""

import inspect
import traceback

import pytest
from redis import exceptions

from agentsched.errors import EpochChanged, LedgerError, LedgerUnavailable
from agentsched.ledger.redis.scripts import translate, translated

SECRET = "the-prompt-of-a-person"


TRANSIENT = [
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.MasterDownError,
    exceptions.MaxConnectionsError,
]


@pytest.mark.parametrize("kind", TRANSIENT)
def test_what_may_pass_is_ledger_unavailable(kind: type[Exception]):
    assert isinstance(translate("claim", kind(SECRET)), LedgerUnavailable)


@pytest.mark.parametrize(
    "text",
    [
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "BUSY Redis is busy running a script",
        "Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM x",
        "-READONLY You can't write against a read only replica.",
    ],
)
def test_what_the_server_cannot_do_now_is_ledger_unavailable(text: str):
    error = translate("claim", exceptions.ResponseError(text))
    assert isinstance(error, LedgerUnavailable)


def test_another_epoch_is_epoch_changed():
    error = exceptions.ResponseError("EPOCHCHANGED the ledger has another one")
    assert isinstance(translate("claim", error), EpochChanged)


def test_what_the_server_will_never_do_is_no_matter_of_waiting():
    error = translate("claim", exceptions.ResponseError("unknown command EVALSHA"))
    assert type(error) is LedgerError


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(kind, exceptions.RedisError)
    ],
)
def test_no_error_repeats_what_the_client_said(kind: type[Exception]):
    try:
        error = kind(SECRET)
    except (TypeError, ValueError, IndexError):
        error = kind.__new__(kind, SECRET)
    assert SECRET not in str(translate("claim", error))


def test_a_refusal_that_repeats_our_arguments_is_not_chained():
    text = f"unknown command 'EVALSHA', with args beginning with: '{SECRET}'"
    with pytest.raises(LedgerError) as caught, translated("admit"):
        raise exceptions.ResponseError(text)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_an_outage_keeps_its_cause():
    cause = exceptions.ConnectionError("Error 111 connecting to 127.0.0.1:1")
    with pytest.raises(LedgerUnavailable) as caught, translated("admit"):
        raise cause
    assert caught.value.__cause__ is cause
