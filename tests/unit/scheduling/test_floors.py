"""Floors: what a starving class is owed, and what it is not."""

from agentsched.scheduling.floors import MAX_OWED, ClassFloors


def always(cls: str) -> bool:
    return cls in ("high", "low")


def test_a_class_that_waits_long_enough_is_owed_one_request():
    floors = ClassFloors()
    floors.earn(20_000, 1, always)  # 5 % of 20 s at one slot: one estimate of 1 s
    floors.charge("k", "high")
    assert floors.owed(lambda cls: cls == "low") == ["low"]


def test_nothing_is_owed_before_the_credit_pays_for_a_request():
    floors = ClassFloors()
    floors.earn(19_000, 1, always)
    assert floors.owed(always) == []


def test_a_class_that_does_not_wait_earns_nothing():
    floors = ClassFloors()
    floors.earn(60_000, 1, lambda cls: cls == "high")
    assert floors.owed(lambda cls: cls == "low") == []


def test_a_start_is_charged():
    floors = ClassFloors()
    floors.earn(20_000, 1, always)
    floors.charge("k", "low")
    floors.charge("k", "high")
    assert floors.owed(always) == []


def test_no_more_than_a_minute_is_saved_up():
    floors = ClassFloors()
    floors.earn(3_600_000, 1, lambda cls: cls == "low")
    starts = 0
    while floors.owed(always)[:1] == ["low"]:
        floors.charge("k", "low")
        starts += 1
    assert starts == 3  # 5 % of 60 s


def test_the_estimate_follows_what_requests_really_take():
    floors = ClassFloors()
    for _ in range(50):
        floors.settle("k", "low", 4_000)
    assert 3_900 < floors.estimate_ms <= 4_000


def test_the_class_that_is_owed_most_goes_first():
    floors = ClassFloors()
    floors.earn(20_000, 1, lambda cls: cls == "low")
    floors.earn(20_000, 1, lambda cls: cls in ("low", "medium"))
    assert floors.owed(lambda cls: True)[0] == "low"


def test_under_a_flood_of_high_low_gets_a_twentieth_of_the_slot_time():
    floors = ClassFloors()
    now_ms, served = 0, {"high": 0, "low": 0}
    while now_ms < 600_000:  # one slot, requests of 500 ms, both classes always wait
        cls = next(iter(floors.owed(always)), "high")
        floors.charge("k", cls)
        floors.earn(500, 1, always)
        floors.settle("k", cls, 500)
        served[cls] += 1
        now_ms += 500
    share = served["low"] / sum(served.values())
    assert 0.04 <= share <= 0.06


def test_calls_that_are_longer_than_a_minutes_floor_get_it_too():
    floors = ClassFloors()
    for _ in range(50):
        floors.settle("k", "high", 30_000)
    for _ in range(11):
        floors.earn(60_000, 1, always)
        floors.charge("k", "high")
    assert floors.owed(lambda cls: cls == "low") == ["low"]


def test_a_request_that_took_less_than_charged_costs_less():
    floors = ClassFloors()
    floors.earn(60_000, 1, lambda cls: cls == "low")  # 3,000 ms: three estimates
    floors.charge("k", "low")
    floors.settle("k", "low", 0)  # gives its 1,000 ms back; the estimate is now 800
    starts = 0
    while floors.owed(always)[:1] == ["low"]:
        floors.charge(str(starts), "low")
        starts += 1
    assert starts == 3


def test_a_class_that_is_served_saves_nothing_up_from_short_calls():
    floors = ClassFloors()
    for _ in range(100):
        for took_ms in (300, 1_700):
            floors.charge("k", "low")
            floors.earn(took_ms, 1, lambda cls: cls == "low")
            floors.settle("k", "low", took_ms)
            assert floors.owed(always) == []


def test_what_a_class_is_owed_stands_there_as_often_as_its_credit_pays_for():
    floors = ClassFloors()
    floors.earn(60_000, 1, lambda cls: cls == "low")  # 3,000 ms: three estimates
    floors.earn(40_000, 1, lambda cls: cls == "high")  # 2,000 ms
    assert floors.owed(always) == ["low", "high", "low", "high", "low"]


def test_no_more_than_so_many_stand_in_front():
    floors = ClassFloors()
    floors.earn(60_000, 1_000, always)
    assert len(floors.owed(always)) == MAX_OWED


def test_what_waited_since_it_was_looked_earns_and_what_did_not_earns_nothing():
    floors = ClassFloors()
    floors.pass_time(0, 1, ())
    floors.pass_time(3_600_000, 1, ("low",))  # it came just now
    assert floors.owed(always) == []
    floors.pass_time(3_620_000, 1, ())
    assert floors.owed(always) == ["low"]


def test_what_waits_while_no_slot_is_live_earns_nothing():
    floors = ClassFloors()
    floors.pass_time(0, 0, ("low",))
    floors.pass_time(60_000, 9, ("low",))
    assert floors.owed(always) == []
