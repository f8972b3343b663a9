"""A request that kills whoever reads it is answered POISON, alone; the pool goes on.

What that costs the others is measured by benchmarks/poison.py.
"""

import threading

import pytest

from tests.support.harmed import FOLDER, POISON
from tests.support.model_server import Hold, ModelServer
from tests.support.replies import RawReplies
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

IN_FLIGHT = 200
CONFIG = {
    "timing": {"lease_s": 6, "renew_s": 1},
    "connection_pool": {"max_connections": IN_FLIGHT},
}


def supervise(system, stopped):
    """Starts the worker again whenever it has died, as any supervisor does."""
    starts = 1
    while not stopped.wait(0.1):
        if not system.children["worker-m-0"].alive:
            system.children.pop("worker-m-0").stop()
            system.worker("m", "worker-m-0")
            starts += 1
    system.starts = starts


def test_poison_is_answered_so_and_the_innocent_are_answered(tmp_path, kafka):
    with (
        ModelServer(delay_s=0.3) as server,
        System(
            tmp_path,
            kafka,
            server,
            {"m": IN_FLIGHT},
            config=CONFIG,
            python_path=FOLDER,
        ) as system,
    ):
        system.start()
        stopped = threading.Event()
        keeper = threading.Thread(target=supervise, args=(system, stopped))
        keeper.start()
        try:
            innocent = set(system.send("high", IN_FLIGHT - 1))
            (deadly,) = system.send("high", 1, messages=POISON)
            later = set(system.send("medium", 20))
            replies = system.replies.wait_for({deadly, *innocent, *later}, 180)
        finally:
            stopped.set()
            keeper.join(30)
        # Twice with the others, three times alone.
        assert replies[deadly]["attempts"] == 5
        codes = {id_: (r.get("error") or {}).get("code") for id_, r in replies.items()}
        assert codes.pop(deadly) == "POISON"
        assert set(codes.values()) == {None}
        # A crash between the reply and its note may send it twice: the same bytes.
        assert len(set(system.replies.raw())) == len(system.replies.by_id())
        letters = f"{system.topics['high']}.dead_letter"
        with RawReplies(kafka.bootstrap, letters, decode=bytes) as dead:
            (headers,) = eventually(dead.headers)
        assert headers["reason"] == "POISON"
        # Twice with the others; its own children are not the worker.
        assert system.starts == 3


SLOTS = 20
MAX_ALONE = 4
"""Children that run suspects at once (docs/delivery.md)."""


def test_while_suspects_run_alone_all_slots_but_four_serve_others(tmp_path, kafka):
    over = []
    server = ModelServer(script=lambda _: Hold(lambda: bool(over)))

    def running(label):
        return sum(
            call.ended_s is None and call.prompt.startswith(label)
            for call in server.calls
        )

    config = {"timing": {"lease_s": 6, "renew_s": 1}}
    with server, System(tmp_path, kafka, server, {"m": SLOTS}, config=config) as system:
        system.start()
        sent = set(system.send("high", SLOTS, label="suspect"))
        for _ in range(2):
            eventually(lambda: running("suspect") == SLOTS, timeout_s=60)
            system.kill("worker-m-0")
            # Else the next look may still see the calls of the dead one.
            eventually(lambda: running("suspect") == 0, timeout_s=60)
            system.worker("m", "worker-m-0")
        eventually(lambda: running("suspect") == MAX_ALONE, timeout_s=60)
        # The suspects that wait are of a higher class, and take nothing from the others.
        sent |= set(system.send("low", SLOTS, label="other"))
        eventually(lambda: running("other") == SLOTS - MAX_ALONE, timeout_s=60)
        assert running("suspect") == MAX_ALONE
        over.append(True)
        replies = system.replies.wait_for(sent, 60)
        assert {reply["status"] for reply in replies.values()} == {"completed"}
        assert set(system.replies.counts().values()) == {1}
