"""A refusal of Redis becomes one sentence that says what to do, and holds no value."""

import pytest
from redis import exceptions

from agentsched.errors import LedgerUnavailable
from agentsched.ledger.redis.scripts import translate
from agentsched.redis.refusals import refusal

SECRET = "the-prompt-of-a-person"
NO_PERMISSION = exceptions.NoPermissionError
IN_SCRIPT = exceptions.ResponseError

# As Valkey 9.1 and Redis 6.2 say it.
REFUSALS = [
    (NO_PERMISSION, "User b has no permissions to run the 'xread' command", "xread"),
    (
        NO_PERMISSION,
        "User b has no permissions to run the 'config|set' command",
        "config|set",
    ),
    (
        NO_PERMISSION,
        "this user has no permissions to run the 'hget' command or its subcommand",
        "hget",
    ),
    (NO_PERMISSION, "No permissions to access a key", "that key"),
    (NO_PERMISSION, "No permissions to access a channel", "that channel"),
    (
        NO_PERMISSION,
        "this user has no permissions to access one of the channels used as arguments",
        "that channel",
    ),
    (
        IN_SCRIPT,
        "ACL failure in script: User b has no permissions to run the 'hget' command",
        "hget",
    ),
    (
        IN_SCRIPT,
        "ACL failure in script: No permissions to access a key script: on @user:1.",
        "that key",
    ),
    (
        IN_SCRIPT,
        "@user_script: 1: The user executing the script can't run this command",
        "a command",
    ),
    (
        IN_SCRIPT,
        "1: The user executing the script can't access at least one of the keys",
        "that key",
    ),
]


@pytest.mark.parametrize(("kind", "words", "what"), REFUSALS)
def test_a_missing_right_is_named_with_the_page(kind, words: str, what: str):
    said = refusal(kind(words))
    assert what in said.split(":", 1)[0]
    assert "docs/how-to/your-redis.md" in said


@pytest.mark.parametrize(("kind", "words", "what"), REFUSALS)
def test_a_right_may_be_given_while_we_wait(kind, words: str, what: str):
    error = translate("claim", kind(words))
    assert isinstance(error, LedgerUnavailable)
    assert "'claim'" in str(error)
    assert what in str(error)


def test_a_wrong_login_names_the_setting():
    said = refusal(exceptions.AuthenticationError(f"invalid password {SECRET}"))
    assert "`redis.url`" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("Error 111 connecting"),
        exceptions.ResponseError("unknown command EVALSHA"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        OSError("permission denied"),
    ],
)
def test_another_error_is_no_refusal(error: Exception):
    assert refusal(error) == ""


def test_what_was_asked_for_is_not_repeated():
    words = f"ACL failure in script: No permissions to access a key {SECRET}"
    assert SECRET not in refusal(exceptions.ResponseError(words))
