"""What the pages and logs of real processes say, against what really happened."""

import json
import signal
import subprocess
import threading
from pathlib import Path

import pytest
import yaml

from agentsched.embedded.valkey import EmbeddedValkey
from agentsched.operations.status.reader import see
from agentsched.operations.status.summary import put_together
from agentsched.telemetry.meters import Meters
from tests.support import guides
from tests.support.model_server import Hold, ModelServer, Refuse
from tests.support.pages import Scrape, get, log_events, ready
from tests.support.ports import free_ports
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
BRIDGE, WORKER = "bridge0", "worker-m-0"
DELAY_S = 0.1
ANSWERED, FAILED, BAD = 20, 2, 3


@pytest.fixture(scope="module")
def system(tmp_path_factory, kafka):
    (port,) = free_ports(1)  # the usual one comes and goes with other tests' bridges
    with (
        ModelServer(delay_s=DELAY_S) as server,
        System(
            tmp_path_factory.mktemp("telemetry"),
            kafka,
            server,
            {"m": 4},
            config={
                "logging": {"level": "debug"},
                "http": {"bridge_port": port},
            },
        ) as system,
    ):
        yield system.start()


@pytest.fixture(scope="module")
def happened(system):
    """Requests that are answered, fail, are refused, sent twice, or are no requests."""
    system.server.then("m", *[Refuse(400)] * FAILED)
    system.replies.wait_for(set(system.send("high", FAILED)), 60)
    sent = system.send("high", 12) + system.send("low", ANSWERED - 12)
    sent += system.send("medium", 1, model_id="nope")
    for _ in range(BAD):
        system.producer.produce(b"no json", system.topics["low"]).result(10)
    system.replies.wait_for(set(sent), 60)
    twice = json.dumps({"correlation_id": sent[0], "content": "other"}).encode()
    system.producer.produce(twice, system.topics["high"]).result(10)
    return sent


def bridge(system):
    return Scrape(system.address(BRIDGE))


def worker(system):
    return Scrape(system.address(WORKER))


def test_what_may_be_counted_is_shown_before_it_happens(system):
    page = bridge(system)
    for topic in system.topics.values():
        labels = f'alarm="records_deleted",topic="{topic}"'
        assert f"agentsched_alarms_total{{{labels}}} 0.0" in page.text
    assert 'agentsched_dead_letters_total{reason="CONFLICT"} 0.0' in page.text
    labels = 'class="high",code="MODEL_UNAVAILABLE",model="m"'
    assert f"agentsched_answered_total{{{labels}}} 0.0" in worker(system).text


def test_no_counter_has_label_values_that_were_not_expected(system, happened):
    """What is not known from the start begins with 1, which `increase` does not see."""
    known = {"bridge": Meters("bridge"), "worker": Meters("worker")}
    known["bridge"].initialize(["m"], list(system.topics.values()))
    known["worker"].initialize(["m"])
    for meters in known.values():
        meters.describe_process()
    for process, scrape in (("bridge", bridge(system)), ("worker", worker(system))):
        expected = {
            (sample.name, frozenset(sample.labels.items()))
            for family in known[process].registry.collect()
            for sample in family.samples
        }
        for name, labels in scrape.series:
            if name.startswith("agentsched_") and name.endswith(("_total", "_count")):
                assert (name, frozenset(labels.items())) in expected, (name, labels)


def test_every_answer_is_counted_once_with_its_code(system, happened):
    eventually(
        lambda: worker(system).sum("agentsched_answered_total") == ANSWERED + FAILED
    )
    page = worker(system)
    counted = "agentsched_answered_total"
    assert page.sum(counted, code="OK", model="m") == ANSWERED
    assert page.sum(counted, code="OK", cls="high") == 12
    assert page.sum(counted, code="MODEL_REJECTED") == FAILED
    assert bridge(system).sum(counted) == 1
    assert bridge(system).sum(counted, code="UNKNOWN_MODEL", model="none") == 1


def test_the_histograms_hold_what_agents_felt(system, happened):
    total = ANSWERED + FAILED
    eventually(lambda: worker(system).sum("agentsched_request_seconds_count") == total)
    page = worker(system)
    assert page.sum("agentsched_queue_seconds_count", model="m") == total
    assert page.sum("agentsched_model_call_seconds_count", model="m") == total
    assert page.sum("agentsched_model_call_seconds_sum") >= ANSWERED * DELAY_S
    waited = page.sum("agentsched_queue_seconds_sum")
    assert page.sum("agentsched_request_seconds_sum") >= waited + ANSWERED * DELAY_S
    assert page.sum("agentsched_calls_in_flight") == 0
    assert page.sum("agentsched_worker_slots", model="m") == 4


def test_the_bridge_counts_what_it_did(system, happened):
    def letters():
        return bridge(system).sum("agentsched_dead_letters_total", reason="CONFLICT")

    eventually(lambda: letters() == 1, timeout_s=20)
    page = bridge(system)
    started = ANSWERED + FAILED
    assert page.sum("agentsched_dead_letters_total", reason="MALFORMED") == BAD
    assert page.sum("agentsched_duplicates_total", kind="conflict") == 1
    assert page.sum("agentsched_admitted_total", model="any") == 0
    assert page.sum("agentsched_admitted_total", model="m") == started
    assert page.sum("agentsched_doorbells_rung_total", model="m") > 0
    assert page.sum("agentsched_plans_total", outcome="planned") > 0
    assert page.sum("agentsched_records_read_total") == started + 1 + BAD + 1
    assert page.sum("agentsched_lease_expiries_total") == 0
    assert page.sum("agentsched_commits_total") > 0
    assert page.sum("agentsched_leads") == 1
    assert page.sum("agentsched_live_bridges") == 1
    assert page.sum("agentsched_partitions_owned") == 3
    assert page.sum("agentsched_capacity_slots", model="m") == 4
    eventually(lambda: bridge(system).sum("agentsched_live_slots", model="m") == 4)
    assert page.sum("agentsched_loop_turn_seconds_count") > 10


def test_when_all_is_answered_nothing_lags(system, happened):
    def lag():
        return bridge(system).sum("agentsched_partition_lag_records")

    eventually(lambda: lag() == 0, timeout_s=20)
    eventually(lambda: bridge(system).sum("agentsched_requests") == 0, timeout_s=20)
    assert bridge(system).sum("agentsched_index_records") == 0


def test_what_waits_and_what_runs_is_seen_while_it_does(system, happened):
    seen = threading.Event()
    system.server.then("m", *[Hold(seen.is_set)] * 4)
    running = system.send("high", 4)
    eventually(lambda: system.server.in_flight("m") == 4, timeout_s=20)
    waiting = system.send("low", 6)

    def picture():
        page = bridge(system)
        return (
            page.sum("agentsched_slots_in_use", model="m", cls="high"),
            page.sum("agentsched_requests", stage="in_flight", cls="high"),
            page.sum("agentsched_requests", stage="ready", cls="low"),
            page.sum("agentsched_partition_lag_records"),
        )

    eventually(lambda: picture() == (4, 4, 6, 10), timeout_s=20)
    low = {"topic": system.topics["low"]}
    oldest = "agentsched_partition_oldest_waiting_seconds"
    eventually(lambda: bridge(system).sum(oldest, **low) >= 1)
    assert worker(system).sum("agentsched_calls_in_flight", cls="high") == 4
    assert worker(system).sum("agentsched_parked_slots", model="m") == 0
    seen.set()
    system.replies.wait_for({*running, *waiting}, 60)


def test_slots_without_work_are_parked(system, happened):
    def parked():
        return worker(system).sum("agentsched_parked_slots", model="m")

    eventually(lambda: parked() == 4, timeout_s=20)


def test_stores_are_measured_on_both_sides(system, happened):
    for page in (bridge(system), worker(system)):
        assert page.sum("agentsched_redis_step_failures_total") == 0
        assert page.sum("agentsched_kafka_delivery_failures_total") == 0
        assert page.sum("process_resident_memory_bytes") > 1e6
    assert bridge(system).sum("agentsched_redis_step_seconds_count", step="admit") > 0
    assert bridge(system).sum("agentsched_redis_step_seconds_count", step="plan") > 0
    page = worker(system)
    steps = page.sum("agentsched_redis_step_seconds_count", step="turn")
    turns = page.sum("agentsched_turns_total")
    assert 0 < turns <= steps + 1  # between two readings one may have ended
    assert page.sum("agentsched_turn_seconds_count") > 0
    assert worker(system).sum("agentsched_kafka_delivery_seconds_count") >= ANSWERED
    assert bridge(system).sum("agentsched_kafka_delivery_seconds_count") >= BAD + 2


def test_the_log_tells_the_whole_life_of_a_request(system, happened):
    (id_,) = system.send("high", 1)
    system.replies.wait_for({id_}, 30)

    def life(name):
        lines = log_events(system.log(name))
        return [one["event"] for one in lines if one.get("correlation_id") == id_]

    # All slots were parked: one of them was woken for it.
    told = {"request_admitted", "doorbell_rung", "request_settled"}
    eventually(lambda: set(life(BRIDGE)) == told, timeout_s=10)
    eventually(lambda: life(WORKER) == ["request_taken", "request_completed"])
    (line,) = [
        one
        for one in system.events(WORKER, "request_completed")
        if one["correlation_id"] == id_
    ]
    assert (line["model"], line["class"], line["attempt"]) == ("m", "high", 1)
    assert DELAY_S <= line["model_s"] <= line["total_s"]


def test_every_line_of_the_bridge_is_json(system, happened):
    for line in system.log(BRIDGE).splitlines():
        assert json.loads(line)["process"] == "bridge"


def test_no_line_is_written_twice(system, happened):
    for name in (BRIDGE, WORKER):
        lines = [one for one in system.log(name).splitlines() if one.startswith("{")]
        assert len(set(lines)) == len(lines)


def test_the_status_says_where_the_pages_are(system, happened):
    def status():
        settings = system.settings
        return put_together(settings, see(system.ledger))

    eventually(lambda: status().bridges[0].http == system.address(BRIDGE))
    (process,) = status().worker_processes
    assert (process.http, process.slots) == (system.address(WORKER), {"m": 4})


def test_the_commands_of_the_how_to_work(system, happened):
    commands = "\n".join(guides.commands("docs/how-to/monitor.md"))
    for told, name in (("127.0.0.1:9790", BRIDGE), ("127.0.0.1:9791", WORKER)):
        assert told in commands
        commands = commands.replace(told, system.address(name))
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert '"ready": true' in done.stdout
    assert 'agentsched_answered_total{class="high",code="OK",model="m"}' in done.stdout


def test_a_second_bridge_on_the_host_has_a_port_of_its_own(system, happened):
    system.bridge("bridge1")
    try:
        address = system.address("bridge1")
        assert address != system.address(BRIDGE)
        assert "wanted" in system.events("bridge1", "http_listening")[0]
        eventually(lambda: ready(address)["status"] == 200, timeout_s=30)
        assert Scrape(address).sum("agentsched_leads") == 0
        eventually(lambda: bridge(system).sum("agentsched_live_bridges") == 2)
    finally:
        assert system.stop("bridge1") == 0


def test_a_bridge_takes_another_log_level_without_a_restart(system, happened):
    file = system.root / "agentsched.yaml"
    config = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(config | {"logging": {"level": "info"}}))
    system.children[BRIDGE].signal(signal.SIGHUP)
    eventually(lambda: system.events(BRIDGE, "configuration_reloaded"), timeout_s=20)
    before = len(system.events(BRIDGE, "doorbell_rung"))
    system.replies.wait_for(set(system.send("high", 2)), 30)
    assert len(system.events(BRIDGE, "doorbell_rung")) == before


# Last: it stops Redis for all of the module.


def test_readiness_follows_redis_and_liveness_does_not(system, happened):
    addresses = {name: system.address(name) for name in (BRIDGE, WORKER)}
    for address in addresses.values():
        eventually(lambda a=address: ready(a)["ready"], timeout_s=20)

    port = system.valkey.port
    system.valkey.stop()
    for address in addresses.values():
        eventually(
            lambda a=address: not ready(a)["checks"]["redis"]["ok"], timeout_s=20
        )
        page = ready(address)
        assert page["status"] == 503
        assert "redis.url" in page["checks"]["redis"]["detail"]
        assert get(address, "/healthz")[0] == 200
    failures = "agentsched_redis_step_failures_total"
    eventually(
        lambda: worker(system).sum(failures, error="LedgerUnavailable") > 0,
        timeout_s=20,
    )

    system.valkey = EmbeddedValkey(
        system.root / "valkey", system.root / "valkey.log", port
    )
    try:
        for address in addresses.values():
            eventually(lambda a=address: ready(a)["ready"], timeout_s=60)
        (id_,) = system.send("high", 1)
        system.replies.wait_for({id_}, 60)
        for name in (BRIDGE, WORKER):
            for event in ("redis_unreachable", "redis_reachable"):
                assert len(system.events(name, event)) == 1
    finally:
        for name in (WORKER, BRIDGE):
            system.stop(name)
        system.valkey.stop()
