"""The faults of the acceptance table, each by its number; a fault ends healed.

Every fault is a function of the scene and of a random source: it does its harm, waits,
mends it, and returns what it struck. What it may cost stands in its `Fault`: the checker
excuses with it.
"""

import contextlib
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.chaos.history import Happened
from tests.chaos.proxy import DOWN, UP
from tests.chaos.scene import BRIDGE, ROLES, WORKER, Scene
from tests.support.model_server import Disconnect, Hang, Refuse
from tests.support.system import CLASSES
from tests.support.waiting import eventually

Chance = random.Random
Struck = tuple[str, ...]
"""Names of processes, a whole role, or one of these."""
REDIS, KAFKA, MODEL = "redis", "kafka", "model"
LONG_S = 60.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        number: as in the acceptance table.
        name: for the history.
        act: does it, blocking until it is healed; returns what it struck.
        recalls: a call of the model may be repeated because of it.
        loses_redis: replies may differ because of it.
        doubles: a reply may be sent twice because of it.
        stalls: Kafka or Redis cannot be reached meanwhile, or a bridge does not run.
    """

    number: str
    name: str
    act: Callable[[Scene, Chance], Struck]
    recalls: bool = False
    loses_redis: bool = False
    doubles: bool = False
    stalls: bool = False

    def happened(self, started_s: float, ended_s: float, struck: Struck) -> Happened:
        """What the history keeps of it."""
        return Happened(
            self.number,
            self.name,
            started_s,
            ended_s,
            self.recalls,
            self.loses_redis,
            self.doubles,
            self.stalls,
            struck,
        )


def pause(chance: Chance, least_s: float, most_s: float) -> None:
    time.sleep(chance.uniform(least_s, most_s))


def some(scene: Scene, chance: Chance, role: str) -> str:
    return chance.choice(scene.names(role))


def mortal(scene: Scene, chance: Chance, role: str) -> str:
    return chance.choice(scene.mortals(role))


def kill_bridge(scene: Scene, chance: Chance) -> Struck:
    name = mortal(scene, chance, BRIDGE)
    scene.signal(name, signal.SIGKILL)
    return (name,)


def kill_worker(scene: Scene, chance: Chance) -> Struck:
    name = mortal(scene, chance, WORKER)
    scene.signal(name, signal.SIGKILL)
    return (name,)


def freeze_and_kill_worker(scene: Scene, chance: Chance) -> Struck:
    name = mortal(scene, chance, WORKER)
    scene.signal(name, signal.SIGSTOP)
    pause(chance, 0.5, 2)
    scene.signal(name, signal.SIGKILL)
    scene.signal(name, signal.SIGCONT)
    return (name,)


def pause_worker(scene: Scene, chance: Chance) -> Struck:
    name = some(scene, chance, WORKER)
    scene.signal(name, signal.SIGSTOP)
    pause(chance, 2, 12)
    scene.signal(name, signal.SIGCONT)
    return (name,)


def pause_bridge(scene: Scene, chance: Chance) -> Struck:
    name = some(scene, chance, BRIDGE)
    scene.signal(name, signal.SIGSTOP)
    pause(chance, 5, 14)
    scene.signal(name, signal.SIGCONT)
    return (name,)


def rebalance_storm(scene: Scene, chance: Chance) -> Struck:
    for number in range(chance.randint(2, 3)):
        name = f"{BRIDGE}-storm-{number}"
        scene.add_bridge(name)
        pause(chance, 2, 5)
        scene.retire(name)
    return (BRIDGE,)


def kill_kafka_node(scene: Scene, chance: Chance) -> Struck:
    index = chance.randrange(scene.kafka.count)
    scene.kafka.kill_node(index)
    pause(chance, 2, 6)
    scene.kafka.start_node(index)
    scene.kafka.wait_until_up()
    return (KAFKA,)


def kill_redis(scene: Scene, chance: Chance) -> Struck:
    scene.kill_redis()
    pause(chance, 0.2, 4)
    scene.start_redis()
    return (REDIS,)


def empty_redis(scene: Scene, chance: Chance) -> Struck:
    del chance
    with scene.redis_client() as client:
        client.flushall()
    return (REDIS,)


def roll_back_redis(scene: Scene, chance: Chance) -> Struck:
    copy = scene.copy_redis()
    pause(chance, 2, 6)
    scene.roll_back_redis(copy)
    return (REDIS,)


def fill_redis(scene: Scene, chance: Chance) -> Struck:
    with scene.redis_client() as client:
        client.config_set("maxmemory", "1mb")
        pause(chance, 3, 8)
        client.config_set("maxmemory", "0")
    return (REDIS,)


def part_from_redis(scene: Scene, chance: Chance) -> Struck:
    role = chance.choice(ROLES)
    disturb([scene.redis_proxies[role]], chance)
    return (role,)


def part_from_kafka(scene: Scene, chance: Chance) -> Struck:
    role = chance.choice(ROLES)
    disturb(scene.kafka.proxies[role], chance)
    return (role,)


def disturb(proxies, chance: Chance) -> None:
    how = chance.choice(["cut", "hole", "up", "down", "slow"])
    acts = {
        "cut": lambda proxy: proxy.cut(),
        "hole": lambda proxy: proxy.hole(),
        "up": lambda proxy: proxy.hole(UP),
        "down": lambda proxy: proxy.hole(DOWN),
        "slow": lambda proxy: proxy.slow(0.05),
    }
    for proxy in proxies:
        acts[how](proxy)
    pause(chance, 2, 12)
    for proxy in proxies:
        proxy.heal()


@contextlib.contextmanager
def misbehaving(scene: Scene, step) -> Iterator[None]:
    scene.misbehaves = step
    try:
        yield
    finally:
        scene.misbehaves = None


def refuse_calls(scene: Scene, chance: Chance) -> Struck:
    body = '{"error": {"code": "rate_limit_exceeded"}}'
    busy = Refuse(429, body, {"retry-after": "1"})
    with misbehaving(scene, lambda asked: busy if chance.random() < 0.5 else None):
        pause(chance, 2, 6)
    return (MODEL,)


def hang_calls(scene: Scene, chance: Chance) -> Struck:
    """Calls that hang are broken off when the requests' own time is over."""
    with misbehaving(scene, lambda asked: Hang() if chance.random() < 0.05 else None):
        pause(chance, 1, 3)
    return (MODEL,)


def garble_answers(scene: Scene, chance: Chance) -> Struck:
    shapes = [
        Refuse(200, "<html>no</html>", content_type="text/html"),
        Refuse(200, '{"choices": []}'),
        Refuse(500, "Internal Server Error", content_type="text/plain"),
        Refuse(302, "", {"location": "http://127.0.0.1:1/"}),
    ]
    with misbehaving(
        scene,
        lambda asked: chance.choice(shapes) if chance.random() < 0.3 else None,
    ):
        pause(chance, 2, 5)
    return (MODEL,)


def break_calls_off(scene: Scene, chance: Chance) -> Struck:
    """Without a byte on a kept connection this looks stale: it is tried once more."""
    broken = Disconnect(0.05)
    with misbehaving(scene, lambda asked: broken if chance.random() < 0.3 else None):
        pause(chance, 2, 5)
    return (MODEL,)


def lose_doorbells(scene: Scene, chance: Chance) -> Struck:
    """Delete what lies in the queues, and ring some of it twice."""
    with scene.redis_client() as client:
        for _ in range(20):
            for queue in ("alpha", "beta"):
                key = chance.choice([queue, f"{queue}\x06\x163", f"{queue}\x06\x166"])
                if bell := client.lindex(key, -1):
                    if chance.random() < 0.5:
                        client.rpop(key)
                    else:
                        client.lpush(key, bell)
            time.sleep(0.05)
    return (REDIS,)


def restart_all(scene: Scene, chance: Chance) -> Struck:
    for name in [*scene.mortals(WORKER), *scene.mortals(BRIDGE)]:
        scene.signal(name, signal.SIGTERM)
        pause(chance, 0.5, 2)
    return ROLES


def poison(scene: Scene, chance: Chance) -> Struck:
    """Two crashes with others, then three alone: it takes a while, beside what follows.

    Whom it struck, the workers' logs say.
    """
    scene.send_poison(chance.choice(CLASSES))
    pause(chance, 5, 10)
    return ()


def skew_a_clock(scene: Scene, chance: Chance) -> Struck:
    name = some(scene, chance, chance.choice(ROLES))
    scene.set_clock(name, chance.choice([-7200, 7200]))
    pause(chance, 4, 12)
    scene.set_clock(name, 0)
    return (name,)


def take_file_descriptors(scene: Scene, chance: Chance) -> Struck:
    """What is open stays open; nothing new can be opened."""
    return limit(scene, chance, resource.RLIMIT_NOFILE, 3)


def fill_log_disk(scene: Scene, chance: Chance) -> Struck:
    return limit(scene, chance, resource.RLIMIT_FSIZE, 0)


def limit(scene: Scene, chance: Chance, what: int, most: int) -> Struck:
    name = some(scene, chance, chance.choice(ROLES))
    pid = scene.pids()[name]
    with contextlib.suppress(ProcessLookupError):
        soft, hard = resource.prlimit(pid, what)
        resource.prlimit(pid, what, (most, hard))
        pause(chance, 3, 8)
        resource.prlimit(pid, what, (soft, hard))
    return (name,)


def back_to_work(scene: Scene) -> None:
    """Wait until every process is there again."""
    wanted = {model: 2 * n for model, n in scene._models.items()}
    eventually(
        lambda: scene.live_slots() == wanted, timeout_s=60, message="all workers"
    )


FAULTS = (
    Fault("F1", "kill a bridge", kill_bridge, doubles=True, stalls=True),
    Fault("F2", "kill a worker", kill_worker, recalls=True, doubles=True),
    Fault(
        "F3",
        "freeze a worker, then kill it",
        freeze_and_kill_worker,
        recalls=True,
        doubles=True,
    ),
    Fault("F4", "pause a worker", pause_worker, recalls=True, doubles=True),
    Fault("F5", "pause a bridge", pause_bridge, doubles=True, stalls=True),
    Fault("F6", "bridges come and go", rebalance_storm, stalls=True),
    Fault("F7", "kill a Kafka node", kill_kafka_node, doubles=True, stalls=True),
    Fault("F8", "kill Redis", kill_redis, recalls=True, doubles=True, stalls=True),
    Fault(
        "F9",
        "empty Redis",
        empty_redis,
        recalls=True,
        loses_redis=True,
        doubles=True,
        stalls=True,
    ),
    Fault(
        "F10",
        "roll Redis back",
        roll_back_redis,
        recalls=True,
        loses_redis=True,
        doubles=True,
        stalls=True,
    ),
    Fault("F11", "fill Redis", fill_redis, recalls=True, doubles=True, stalls=True),
    Fault(
        "F12r",
        "part a role from Redis",
        part_from_redis,
        recalls=True,
        doubles=True,
        stalls=True,
    ),
    Fault("F12k", "part a role from Kafka", part_from_kafka, doubles=True, stalls=True),
    Fault("F13", "refuse calls with 429", refuse_calls),
    Fault("F14", "hang calls", hang_calls),
    Fault("F15", "garble answers", garble_answers),
    Fault("F15d", "break calls off", break_calls_off, recalls=True),
    Fault("F16", "poison", poison, recalls=True, doubles=True),
    Fault("F20", "skew a clock by two hours", skew_a_clock),
    Fault("F22", "lose and double doorbells", lose_doorbells),
    Fault("F24", "restart all in order", restart_all, stalls=True),
    Fault(
        "F25f",
        "take file descriptors",
        take_file_descriptors,
        recalls=True,
        doubles=True,
    ),
    Fault("F25d", "fill the disk of a log", fill_log_disk),
)
