"""One spelling of where Redis is."""

import re

import pytest

from agentsched.config.loader import parse_settings
from agentsched.config.problems import InvalidSettings
from agentsched.config.redis_url import parse_redis_url

SENTINELS = "sentinel://u:p%40w@s1:1/2;sentinel://s2"


def test_defaults_are_filled_in():
    address = parse_redis_url("redis://h")
    assert address.hosts == (("h", 6379),)
    assert (address.username, address.password, address.db) == (None, None, 0)


def test_a_password_may_have_escaped_characters():
    address = parse_redis_url("rediss://u%3A:p%40w%2F@h:1/3")
    assert (address.username, address.password) == ("u:", "p@w/")
    assert address.db == 3


def test_several_sentinels_share_user_password_and_database():
    address = parse_redis_url(SENTINELS)
    assert address.is_sentinel
    assert address.hosts == (("s1", 1), ("s2", 26379))
    assert (address.username, address.password, address.db) == ("u", "p@w", 2)


def test_what_is_shown_has_no_password():
    address = parse_redis_url(SENTINELS)
    assert address.shown == "sentinel://u:***@s1:1/2;sentinel://u:***@s2:26379/2"
    assert address.bare == "sentinel://s1:1/2;sentinel://s2:26379/2"
    assert "p@w" not in repr(address)


def test_an_ipv6_address_keeps_its_brackets():
    assert parse_redis_url("redis://[::1]:7").bare == "redis://[::1]:7/0"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must be redis://"),
        ("h:6379", "must be redis://"),
        ("http://h", "must be redis://"),
        ("unix:///tmp/s", "must be redis://"),
        ("redis://", "must be redis://"),
        ("redis://h:port", "special characters"),
        ("redis://h:99999", "special characters"),
        ("redis://u:p/w@h", "special characters"),
        ("redis://h/name", "number of a database"),
        ("redis://h/0?ssl_cert_reqs=none", "redis.tls_ca_file"),
        ("redis://h/0?password=p#w", "redis://USER:PASSWORD@HOST:PORT/DB"),
        ("redis://h/0?db=3", "it is the path, as in redis://HOST:PORT/3"),
        ("rediss://h?ssl_check_hostname=no", "redis.tls_check_hostname"),
        ("redis://h?socket_timeout=3&password=x", "`password` is no parameter"),
        ("redis://h?socket_timeout=3&password=x", "`socket_timeout` is no parameter"),
        ("sentinel://a;sentinel://b?password=p#w", "`password` is no parameter"),
        ("redis://h?anything", "%3F"),
        ("redis://u:p#w@h", "special characters"),
        ("redis://h#x", "%23"),
        ("redis://a;redis://b", "must all be sentinel://"),
        ("sentinel://a;redis://b", "must all be sentinel://"),
        ("sentinel://:p@a;sentinel://:q@b", "give them once"),
        ("sentinel://a/1;sentinel://b/2", "in the first URL only"),
    ],
)
def test_another_spelling_is_refused_and_not_repeated(url, words):
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        parse_redis_url(url)
    assert "p#w" not in str(error.value)


def test_parameters_are_refused_with_file_line_key_and_fix():
    """Kombu would take them for its own, or choke on them; redis-py would not."""
    text = "redis:\n  url: redis://h:6379/0?password=hunter2\n"
    with pytest.raises(InvalidSettings) as error:
        parse_settings(text, source="conf/agentsched.yaml")
    said = str(error.value)
    assert "conf/agentsched.yaml" in said
    assert "line 2: redis.url: " in said
    assert "`password` is no parameter of it: it stands before the host" in said
    assert "hunter2" not in said


def test_parameters_of_a_variable_are_refused_with_its_name():
    environ = {"REDIS_URL": "redis://h:6379/0?password=hunter2"}
    with pytest.raises(InvalidSettings, match=r"REDIS_URL: redis\.url: ") as error:
        parse_settings("models: [{name: m}]", environ=environ)
    assert "hunter2" not in str(error.value)


def test_a_name_that_is_not_known_is_not_repeated():
    """It may be the end of a password with a `?` in it."""
    with pytest.raises(ValueError, match="behind") as error:
        parse_redis_url("redis://h/?hunter2=x")
    assert "hunter2" not in str(error.value)
