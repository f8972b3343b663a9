"""The share of the ready set: what goes in, what comes out."""

from agentsched.scheduling.ready_set import decide, quota, target


def test_while_there_is_room_everything_is_admitted():
    moves = decide({"high": 1, "low": 2}, {}, {}, limit=10)
    assert moves.admit == {"high": 1, "low": 2}


def test_the_most_urgent_fill_what_the_minima_leave():
    moves = decide({"high": 100, "medium": 100, "low": 100}, {}, {}, limit=20)
    assert moves.admit == {"high": 16, "medium": 2, "low": 2}


def test_a_full_share_gives_low_up_for_high():
    moves = decide({"high": 5}, {"low": 20}, {}, limit=20)
    assert (moves.admit, moves.withdraw) == ({}, {"low": 5})


def test_what_is_leaving_is_not_withdrawn_twice():
    moves = decide({"high": 5}, {"low": 20}, {"low": 5}, limit=20)
    assert moves.withdraw == {}


def test_a_class_keeps_its_minimum_under_a_flood():
    moves = decide({"high": 1000}, {"high": 10, "low": 10}, {}, limit=20)
    assert moves.withdraw == {"low": 8}


def test_a_smaller_share_sheds_the_least_urgent():
    moves = decide({}, {"high": 10, "low": 10}, {}, limit=10)
    assert moves.withdraw == {"high": 1, "low": 9}


def test_the_room_is_never_overdrawn():
    moves = decide({"high": 50}, {"low": 18}, {"low": 8}, limit=20)
    assert sum(moves.admit.values()) == 2


def test_the_target_never_exceeds_the_limit():
    assert sum(target({"high": 9, "medium": 9, "low": 9}, 2).values()) == 2


def test_groups_of_one_size_have_even_parts_of_the_share():
    assert quota(2000, 4, weight_ratio=0.25) == 500


def test_half_of_the_share_goes_by_capacity():
    assert quota(2000, 4, weight_ratio=0.85) == 1100
    assert quota(2000, 4, weight_ratio=0.05) == 300


def test_every_group_has_room_for_one():
    assert quota(3, 10, weight_ratio=0.0) == 1


def test_the_minimum_is_not_counted_twice():
    assert target({"high": 3, "medium": 30, "low": 0}, 20) == {
        "high": 3,
        "medium": 17,
        "low": 0,
    }


def test_what_is_in_already_counts_towards_the_target():
    moves = decide({"high": 10}, {"high": 15}, {}, limit=20)
    assert moves.admit == {"high": 5}
