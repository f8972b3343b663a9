"""A configuration that is read again: what counts at once, and what after a restart."""

import pytest

from agentsched.config.catalogue import walk
from agentsched.config.models import ModelSettings
from agentsched.config.revision import revise
from agentsched.config.section import Applies, Section, named
from agentsched.config.settings import KafkaSettings, RedisSettings, Settings
from agentsched.errors import ConfigurationError
from bridge.bootstrap import build_bridge
from tests.support.requests import settings

OLD = settings()


def endpoint(**more):
    return {"base_url": "http://127.0.0.1:1/v1", "capacity": 2} | more


def models(*names, **more):
    return [{"name": name, "endpoints": [endpoint(**more)]} for name in names]


def bridges_keys(revision):
    return [named(each.path) for each in revision.of_bridges]


def workers_keys(revision):
    return [named(each.path) for each in revision.of_workers]


def test_what_bridges_read_all_the_time_counts_at_once():
    new = settings(
        capacity=9,
        kafka={"reply_topics": ["mine"]},
        agents=[{"id": "a", "blocked": True}],
        limits={"ttl_s": 7, "horizon_s": 60},
    )
    revision = revise(OLD, new)
    assert revision.settings == new
    assert revision.of_bridges == ()
    assert revision.of_workers == ()


def test_what_is_read_at_the_start_stays_and_is_named():
    new = settings(
        kafka={
            "bootstrap_servers": ["other:1"],
            "input_topics": ["x"],
            "group_id": "g",
        },
        redis={"url": "redis://other"},
        limits={"reply_max_bytes": 2048, "ttl_s": 7},
    )
    revision = revise(OLD, new)
    assert bridges_keys(revision) == [
        "kafka.bootstrap_servers",
        "kafka.input_topics",
        "kafka.group_id",
        "redis.url",
        "limits.reply_max_bytes",
    ]
    assert revision.settings.kafka == OLD.kafka
    assert revision.settings.redis == OLD.redis
    assert revision.settings.limits.reply_max_bytes == OLD.limits.reply_max_bytes
    assert revision.settings.limits.ttl_s == 7
    assert workers_keys(revision) == [
        "kafka.bootstrap_servers",
        "redis.url",
        "limits.reply_max_bytes",
    ]


def test_it_is_named_again_until_the_restart():
    new = settings(kafka={"output_topic": "other"})
    once = revise(OLD, new).settings
    assert bridges_keys(revise(once, new)) == ["kafka.output_topic"]
    assert revise(once, OLD).of_bridges == ()


def test_what_only_workers_read_is_named_for_them():
    new = Settings.model_validate(
        {
            "models": models("n", "m", api_key_env="K"),
            "connection_pool": {"timeout": 3},
            "timing": {"drain_s": 3},
        }
    )
    revision = revise(OLD, new)
    assert revision.settings == new
    assert revision.of_bridges == ()
    assert workers_keys(revision) == [
        "models[1].endpoints[0].api_key_env",
        "timing.drain_s",
        "connection_pool.timeout",
    ]


def test_a_model_more_changes_nothing_for_workers_of_others():
    new = Settings.model_validate({"models": models("n", "m")})
    assert revise(OLD, new).of_workers == ()


def test_both_values_are_shown_without_secrets():
    def made(name, password):
        return settings(
            redis={"url": f"redis://u:{password}@{name}"},
            kafka={
                "bootstrap_servers": [f"u:{password}@{name}:1"],
                "properties": {"sasl.password": password, "client.id": name},
            },
        )

    revision = revise(made("old", "hunter1"), made("new", "hunter2"))
    stays = {
        named(each.path): str(each).partition(" stays ")[2]
        for each in revision.of_bridges
    }
    assert stays == {
        "kafka.bootstrap_servers": '["***@old:1"], the configuration says ["***@new:1"]',
        "kafka.properties.client.id": '"old", the configuration says "new"',
        "kafka.properties.sasl.password": '"***", the configuration says "***"',
        "redis.url": '"redis://u:***@old:6379/0", the configuration says'
        ' "redis://u:***@new:6379/0"',
    }


def test_what_does_not_go_together_with_what_stays_is_refused_whole(monkeypatch):
    # No two settings of today are so; with this mark off, two would be.
    found = {named(path): setting for path, setting in walk()}
    field = found["timing.loss_grace_s"].field
    marks = [mark for mark in field.metadata if not isinstance(mark, Applies)]
    monkeypatch.setattr(field, "metadata", marks)
    new = settings(timing={"delivery_timeout_s": 3, "loss_grace_s": 8})
    with pytest.raises(ConfigurationError, match=r"timing\.delivery_timeout_s"):
        revise(OLD, new)


def test_all_that_a_bridge_is_built_of_needs_a_restart(monkeypatch):
    """What the composition root reads once must be marked: else SIGHUP would lie."""
    read = set()
    plain = Section.__getattribute__

    def noticed(self, name):
        if name in type(self).model_fields:
            read.add((type(self), name))
        return plain(self, name)

    monkeypatch.setattr(Section, "__getattribute__", noticed)
    bridge = build_bridge(OLD)
    monkeypatch.undo()
    bridge.daemon._effects.close()
    assert (KafkaSettings, "bootstrap_servers") in read
    assert (RedisSettings, "url") in read
    # `Rules` are handed on at each reload; these are what `Effects` and the bridge's
    # metrics take from them.
    adopted = {(KafkaSettings, "reply_topics"), (ModelSettings, "name")}
    unmarked = [
        named(path)
        for path, setting in walk()
        if setting.section is None
        and (setting.owner, setting.name) in read - adopted
        and not setting.applies.restarts_bridges
    ]
    assert unmarked == []


def test_no_item_of_a_list_needs_a_restart_of_bridges():
    # `revise` takes a list whole.
    for path, setting in walk():
        if 0 in path:
            assert not setting.applies.restarts_bridges, named(path)


@pytest.mark.parametrize(
    ("path", "applies"),
    [
        ("redis.url", Applies.RESTART),
        ("kafka.reply_topics", Applies.RELOAD),
        ("kafka.group_id", Applies.BRIDGES_RESTART),
        ("connection_pool.timeout", Applies.WORKERS_RESTART),
        ("logging.level", Applies.RELOAD_WORKERS_RESTART),
    ],
)
def test_a_setting_says_when_a_change_counts(path, applies):
    found = {named(each): setting for each, setting in walk()}
    assert found[path].applies is applies
