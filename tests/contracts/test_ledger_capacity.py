"""What `turn` promises of capacity, on every adapter."""

from concurrent.futures import ThreadPoolExecutor

from agentsched.ledger.turns import Plan, PoolList
from tests.support.ledgers import GPT, GPT_AT, LEADER, LLAMA, LLAMA_AT, LONG_MS, World

BARS = (("a|b", "c"), ("a", "b|c"))


def _list(world: World, model: str, endpoint: str, *keys: str) -> None:
    pool = PoolList(model, endpoint, tuple(map(world.member, keys)))
    world.plan(lists=(pool,))


def test_every_model_has_its_own_capacity(world: World):
    world.beat()
    llama, gpt = ([world.ready() for _ in range(3)] for _ in range(2))
    world.plan(*llama, model=LLAMA)
    world.plan(*gpt, model=GPT)
    assert set(world.takes(*"123456")) == {*llama[:2], *gpt}
    assert (world.in_flight(LLAMA), world.in_flight(GPT)) == (2, 3)


def test_endpoints_of_one_model_have_capacities_of_their_own(world: World):
    other = "https://gpt.example/v2"
    world.limit(capacity={(GPT, GPT_AT): 1, (GPT, other): 2})
    world.beat()
    keys = [world.ready() for _ in range(5)]
    for endpoint in (GPT_AT, other):
        _list(world, GPT, endpoint, *keys)
    assert len(world.takes(*"12345")) == 3
    places = [slot.endpoint for slot in world.ledger.snapshot(world.epoch).slots]
    assert sorted(places) == [GPT_AT, other, other]


def test_the_limit_over_all_models_counts_every_endpoint(world: World):
    world.limit(max_in_flight=2)
    world.running("1")
    world.plan(world.ready(), model=LLAMA)
    assert len(world.takes("2")) == 1
    world.plan(world.ready())
    assert world.takes("3") == []


def test_lowered_limits_start_nothing_and_stop_nothing(world: World):
    first, second = world.running("1"), world.running("2")
    world.limit(capacity={(GPT, GPT_AT): 2})
    key = world.ready()
    assert world.take(key, "3") is None
    assert world.complete(first, "1")
    assert world.take(key, "4")
    assert world.complete(second, "2")


def test_without_limits_there_is_no_capacity(world: World):
    world.backend.lose()
    world.epoch = world.ledger.membership.beat().pulse.epoch
    world.ledger.membership.lead(LEADER, LONG_MS)
    assert world.take(world.ready()) is None


def test_an_unknown_endpoint_has_no_capacity(world: World):
    world.beat()
    _list(world, GPT, "https://other", world.ready())
    assert world.takes("1") == []


def test_a_model_name_with_a_bar_is_no_other_pool(world: World):
    world.limit(capacity={BARS[0]: 1, BARS[1]: 0})
    world.beat()
    key = world.ready()
    models = tuple(model for model, _ in BARS)
    _list(world, *BARS[1], key)
    assert world.takes("1", models=models) == []
    _list(world, *BARS[0], key)
    (taken,) = world.turn("2", models=models).taken
    assert (taken.model, taken.endpoint) == BARS[0]
    assert world.view(key).model == "a|b"


def test_a_percent_sign_is_read_back(world: World):
    world.limit(capacity={("a%7Cb", "c%25"): 1})
    world.beat()
    _list(world, "a%7Cb", "c%25", world.ready())
    (taken,) = world.turn("1", models=("a%7Cb",)).taken
    assert (taken.model, taken.endpoint) == ("a%7Cb", "c%25")


def test_four_workers_at_once_fill_seven_slots_and_no_more(world: World):
    keys = [world.ready() for _ in range(50)]
    members = tuple(world.member(key, order) for order, key in enumerate(keys))
    pools = ((GPT, GPT_AT), (LLAMA, LLAMA_AT))
    world.limit(capacity={(GPT, GPT_AT): 5, (LLAMA, LLAMA_AT): 2})
    lists = tuple(PoolList(*pool, members) for pool in pools)
    plan = Plan(LEADER, 1, world.revision(), "", lists)
    world.ledger.plan(world.epoch, plan)
    workers = [f"w{number}" for number in range(4)]
    turns = []
    for worker in workers:
        world.beat(worker)
        turns += [
            world.next_turn(f"{worker}.{n}", f"{worker}.{n}b", worker_id=worker)
            for n in range(5)
        ]
    with ThreadPoolExecutor(4) as threads:
        answers = list(
            threads.map(lambda turn: world.ledger.turn(world.epoch, turn), turns)
        )
    taken = [one.key for answer in answers for one in answer.taken]
    assert len(taken) == len(set(taken)) == 7
    assert (world.in_flight(GPT), world.in_flight(LLAMA)) == (5, 2)
