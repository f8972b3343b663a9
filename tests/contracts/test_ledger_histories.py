"""Any history of steps: the scripts in Redis and the ledger in memory agree on all of it.

No test waits for Redis's clock: times are an hour away, or over from the beginning (a
lease of -1 ms). What the two agree on has to be right as well, so the rules that no
history may break are checked after every step.
"""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentsched.ledger.transitions import STEP_TABLE
from agentsched.ledger.turns import (
    Completion,
    HandBack,
    Member,
    Plan,
    PoolList,
    Publication,
    Taken,
    Turn,
    TurnAnswer,
)
from agentsched.ledger.values import (
    Admission,
    CallOutcome,
    Change,
    EntryView,
    Limits,
    PutBack,
    Snapshot,
    State,
)
from agentsched.wire.codec import hash_value
from agentsched.wire.epoch import NO_EPOCH
from agentsched.wire.records import RecordAt
from agentsched.wire.request_facts import RequestFacts
from tests.support.ledgers import (
    GPT,
    GPT_AT,
    LEADER,
    LLAMA,
    LLAMA_AT,
    SOURCE,
    WORKER,
    InMemory,
    OnRedis,
)
from tests.support.redis_servers import SERVERS

HOUR_MS = 3_600_000
OVER_MS = -1
KEYS = tuple(letter * 32 for letter in "abcd")
PAYLOADS = (b'{"content":"one"}', b'{"content":"two"}')
REPLIES = (b"first", b"second")
LEASES = ("L1", "L2")
POOLS = ((GPT, GPT_AT), (LLAMA, LLAMA_AT))
COPIES = 2
WAY = tuple(State)
"""The way of a request, in order."""
MAX_OFFSETS = len(KEYS) * len(PAYLOADS) * COPIES

keys = st.sampled_from(KEYS)
leases = st.sampled_from(LEASES)
lease_times = st.sampled_from((HOUR_MS, HOUR_MS, OVER_MS))
off_by = st.sampled_from((0, 0, 0, 0, 0, 1, -1))


class Twins(RuleBasedStateMachine):
    """One history on both ledgers."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._redis = OnRedis(url)
        memory = InMemory()
        memory.advance(self._redis.now_ms() - memory.now_ms())
        self._now_ms = memory.now_ms()
        self._ledgers = (self._redis.ledger, memory.ledger)
        self._backends = (self._redis, memory)
        self._capacity = {POOLS[0]: 2, POOLS[1]: 1}
        self._voided: set[str] = set()
        self._replies: dict[str, bytes] = {}
        self._last: tuple[str, tuple[Any, ...], Any] | None = None
        self._known = [NO_EPOCH, NO_EPOCH]
        """The highest pulse that a bridge saw in each."""
        self._saved: tuple[Any, Any, Any] | None = None
        self._plans = self._turns = 0
        self._beat()

    def _beat(self) -> list[bool]:
        """Beat as a bridge does; return where that began an epoch."""
        beats = [
            ledger.membership.beat(known)
            for ledger, known in zip(self._ledgers, self._known, strict=True)
        ]
        self._known = [beat.pulse for beat in beats]
        epochs = [pulse.epoch for pulse in self._known]
        before = getattr(self, "_epochs", ["", ""])
        began = [new != old for new, old in zip(epochs, before, strict=True)]
        self._there = list(self._known)
        if any(began):
            self._epochs = epochs
            self._open()
        return began

    def _open(self) -> None:
        """Begin with an epoch that knows of nothing."""
        self._last = None
        self._before: dict[str, EntryView | None] = dict.fromkeys(KEYS)
        self._voided.clear()
        self._replies.clear()
        self._set_limits()
        for ledger in self._ledgers:
            assert ledger.membership.lead(LEADER, HOUR_MS)
            ledger.membership.beat_worker(WORKER, {GPT: 2}, HOUR_MS)
        self._listen()

    def _listen(self) -> None:
        self._cursors = [
            ledger.snapshot(epoch).cursor
            for ledger, epoch in zip(self._ledgers, self._epochs, strict=True)
        ]

    def _set_limits(self, ready_max: int = 3, horizon_s: int = 3600) -> None:
        limits = Limits(self._capacity, 0, ready_max, horizon_s)
        for ledger, epoch in zip(self._ledgers, self._epochs, strict=True):
            ledger.set_limits(epoch, limits)

    # -- both at once -------------------------------------------------------------

    def _both(self, step: str, *arguments: Any) -> Any:
        on_redis, in_memory = (
            getattr(ledger, step)(epoch, *arguments)
            for ledger, epoch in zip(self._ledgers, self._epochs, strict=True)
        )
        assert timeless(on_redis) == timeless(in_memory), step
        return in_memory

    def _do(self, step: str, key: str, *arguments: Any) -> Any:
        """Do a step, and check that it led where the table says."""
        answer = self._both(step, *arguments)
        self._last = (step, arguments, answer)
        before, after = self._before[key], self._view(key)
        was, now = (view.state if view else None for view in (before, after))
        assert now in STEP_TABLE[step, was], (step, was, now)
        self._before[key] = after
        return answer

    def _view(self, key: str) -> EntryView | None:
        (view,) = self._both("inspect", (key,))
        return view

    # -- steps: mostly on an entry that they can move -----------------------------

    def _one_of(self, data: st.DataObject, *states: State | None) -> str:
        there = [key for key in KEYS if self._state(key) in states]
        return data.draw(st.sampled_from(there or KEYS))

    def _state(self, key: str) -> State | None:
        view = self._before[key]
        return view.state if view else None

    def _any(*states: State | None) -> Any:
        return precondition(
            lambda self: any(self._state(key) in states for key in KEYS)
        )

    @initialize(depths=st.tuples(*[st.integers(0, len(WAY))] * len(KEYS)))
    def begin(self, depths):
        """Some requests are on their way already, or all of it behind them."""
        for key, depth in zip(KEYS, depths, strict=True):
            for state in WAY[:depth]:
                self._go_on(key, state)

    def _go_on(self, key: str, state: State) -> None:
        match state:
            case State.READY:
                self._admit(key, 0, 0, overdue=False, reply=b"")
            case State.RUNNING:
                pool = POOLS[KEYS.index(key) % len(POOLS)]
                self._plans, self._turns = self._plans + 1, self._turns + 1
                lists = (PoolList(*pool, (self._member(key),)),)
                plan = Plan(LEADER, self._plans, self._revision(), "", lists)
                self._do_all("plan", plan)
                models, seen = (pool[0],), self._turns - 1
                turn = Turn(
                    WORKER, self._turns, seen, HOUR_MS, models=models, lease_ids=("L1",)
                )
                self._do_all("turn", turn)
            case State.DONE:
                self._do("complete", key, key, "L1", REPLIES[0], CallOutcome(ok=True))
            case State.ANSWERED:
                self._do("published", key, key, RecordAt("results", 3, 77))

    @rule(
        data=st.data(),
        payload=st.sampled_from((0, 0, 0, 1)),
        copy=st.integers(0, COPIES - 1),
        overdue=st.sampled_from((False, False, False, True)),
        reply=st.sampled_from((b"", b"", b"", b"ended")),
    )
    def admit(self, data, payload, copy, overdue, reply):
        key = self._one_of(data, None)
        self._admit(key, payload, copy, overdue, reply)

    @rule(
        key=keys,
        payload=st.sampled_from((0, 1)),
        copy=st.integers(0, COPIES - 1),
        reply=st.sampled_from((b"", b"ended")),
    )
    def admit_again(self, key, payload, copy, reply):
        self._admit(key, payload, copy, overdue=False, reply=reply)

    def _admit(self, key, payload, copy, overdue, reply):
        number = KEYS.index(key) * len(PAYLOADS) + payload
        facts = self._facts(key, number * COPIES + copy, overdue=overdue)
        value = PAYLOADS[payload]
        admission = Admission(facts, value, hash_value(value), reply)
        self._do("admit", key, [admission])

    def _facts(self, key: str, offset: int, *, overdue: bool) -> RequestFacts:
        deadline_ms = self._now_ms + (-HOUR_MS if overdue else HOUR_MS)
        return RequestFacts(
            key=key,
            agent_id="planner",
            correlation_id=f"c-{key}",
            group="planning",
            cls="high",
            models=(GPT, LLAMA),
            task_type="text_generation",
            tokens=1,
            arrival_ms=self._now_ms - 5,
            deadline_ms=deadline_ms,
            topic="high_priority",
            partition=0,
            offset=offset,
            source=SOURCE,
            reply_topic="results",
        )

    @_any(State.READY)
    @rule(data=st.data())
    def withdraw(self, data):
        key = self._one_of(data, State.READY)
        self._do("withdraw", key, [key])

    @_any(State.READY)
    @rule(
        listed=st.lists(keys, max_size=3),
        pool=st.sampled_from(POOLS),
        wrong=off_by,
        payload=st.sampled_from((0, 0, 0, 1)),
        late=st.sampled_from((0, 0, 0, 0, 1, 5)),
        by=st.sampled_from((LEADER, LEADER, LEADER, "another")),
    )
    def plan(self, listed, pool, wrong, payload, late, by):
        self._plans += 1
        members = tuple(self._member(key, wrong, payload) for key in listed)
        lists = (PoolList(*pool, members),)
        plan = Plan(by, self._plans - late, self._revision(), "", lists)
        self._do_all("plan", plan)

    def _member(self, key: str, wrong: int = 0, payload: int = 0) -> Member:
        view = self._before[key]
        turn = (view.turn if view else 0) + wrong
        return Member(key, hash_value(PAYLOADS[payload]), turn, KEYS.index(key))

    def _revision(self) -> int:
        one, other = (
            ledger.operations.orders(epoch, "b1").revision
            for ledger, epoch in zip(self._ledgers, self._epochs, strict=True)
        )
        assert one == other
        return one

    @_any(State.READY, State.RUNNING)
    @rule(
        data=st.data(),
        lease_ids=st.sampled_from((("L1",), ("L1", "L2"), ("L2", "L1"), ())),
        unseen=st.sampled_from((1, 1, 1, 2)),
        children=st.integers(0, 1),
        does=st.sampled_from(("", "", "complete", "put_back", "published")),
    )
    def turn(self, data, lease_ids, unseen, children, does):
        self._turns += 1
        turn = Turn(
            WORKER,
            self._turns,
            self._turns - unseen,
            HOUR_MS,
            models=(GPT, LLAMA),
            lease_ids=lease_ids,
            free_children=children,
            free_slots=len(lease_ids),
        )
        key = self._one_of(data, State.RUNNING, State.DONE)
        lease = data.draw(leases)
        match does:
            case "complete":
                done = Completion(key, lease, REPLIES[0], CallOutcome(ok=True))
                self._turn(replace(turn, completions=(done,)))
            case "put_back":
                back = HandBack(key, lease, why=PutBack.UNSTARTED)
                self._turn(replace(turn, hand_backs=(back,)))
            case "published" if self._state(key) is State.DONE:
                sent = Publication(key, RecordAt("results", 3, 77))
                self._turn(replace(turn, published=(sent,)))
            case _:
                self._do_all("turn", turn)

    def _turn(self, turn: Turn) -> None:
        """Do one that does more than to take."""
        answer = self._both("turn", turn)
        self._last = ("turn", (turn,), answer)
        self._before = {key: self._view(key) for key in KEYS}

    def _do_all(self, step: str, *arguments: Any) -> Any:
        """Do a step that may move all, and check that it led where the table says."""
        was = {key: self._state(key) for key in KEYS}
        answer = self._both(step, *arguments)
        self._last = (step, arguments, answer)
        put_back = step == "turn" and arguments[0].seen < arguments[0].number - 1
        for key in KEYS:
            self._before[key] = self._view(key)
            now = self._state(key)
            back = put_back and was[key] is State.RUNNING
            assert now in STEP_TABLE[step, was[key]] or (back and now is State.READY)
        if step == "turn" and answer.taken:
            used = [(slot.model, slot.endpoint) for slot in self._snapshot().slots]
            for one in answer.taken:
                pool = one.model, one.endpoint
                assert used.count(pool) <= self._capacity[pool]
                assert one.time_left_ms > 0
        return answer

    @_any(State.RUNNING)
    @rule(data=st.data())
    def expire(self, data):
        key = self._one_of(data, State.RUNNING)
        self._do("expire", key, key)

    @_any(State.RUNNING)
    @rule(data=st.data(), lease=leases, lease_ms=lease_times)
    def renew(self, data, lease, lease_ms):
        key = self._one_of(data, State.RUNNING)
        self._do("renew", key, {key: lease}, lease_ms)

    @_any(State.RUNNING)
    @rule(
        data=st.data(),
        lease=leases,
        delay_ms=st.sampled_from((0, 0, HOUR_MS)),
        why=st.sampled_from(PutBack),
    )
    def put_back(self, data, lease, delay_ms, why):
        key = self._one_of(data, State.RUNNING)
        self._do("put_back", key, key, lease, delay_ms, why, 2)

    @_any(State.READY, State.RUNNING)
    @rule(
        data=st.data(),
        lease=st.sampled_from((*LEASES, *LEASES, None)),
        reply=st.sampled_from(REPLIES),
        called=st.booleans(),
    )
    def complete(self, data, lease, reply, called):
        key = self._one_of(data, State.RUNNING)
        if lease is None:
            self._voids(key)
        outcome = CallOutcome(ok=True, model_ms=40, called=called)
        self._do("complete", key, key, lease, reply, outcome)

    @_any(State.DONE)
    @rule(data=st.data())
    def publish(self, data):
        key = self._one_of(data, State.DONE)
        self._do("published", key, key, RecordAt("results", 3, 77))

    def _voids(self, key: str) -> None:
        if self._state(key) is State.RUNNING:
            self._voided.add(key)

    @rule(data=st.data(), lease=leases, key=keys)
    def a_step_astray(self, data, lease, key):
        """Whatever somebody may do who is late, or knows nothing."""
        step, *arguments = data.draw(
            st.sampled_from(
                [
                    ("withdraw", [key]),
                    ("expire", key),
                    ("renew", {key: lease}, HOUR_MS),
                    ("put_back", key, lease, 0, PutBack.STOPPED, 2),
                    ("complete", key, lease, REPLIES[0], CallOutcome(ok=False)),
                    ("complete", key, None, REPLIES[1], CallOutcome(ok=True)),
                    ("published", key, RecordAt("results", 1, 2)),
                    ("cancel", key, 3600),
                ]
            )
        )
        if step == "published" or arguments[1:2] == [None]:
            self._voids(key)
        self._do(step, key, *arguments)

    @precondition(lambda self: self._last is not None)
    @rule()
    def repeat_the_last(self):
        """Its answer may have been lost. The same answer, and nothing changes."""
        step, arguments, first = self._last
        before = self._picture()
        again = self._both(step, *arguments)
        if step in {"complete", "published", "withdraw", "plan", "turn"}:
            assert timeless(again) == timeless(first), step
        if step != "renew":
            assert self._picture() == before, step

    @rule(
        what=st.sampled_from(("settle", "restore", "limits", "lose")),
        number=st.integers(0, MAX_OFFSETS),
    )
    def something_beside_the_requests(self, what, number):
        match what:
            case "settle":
                self._both("settle", SOURCE, number)
            case "restore":
                self._both("restore_done", SOURCE, [range(number, number + 3)])
            case "limits":
                self._capacity = {POOLS[0]: number % 3, POOLS[1]: 1}
                self._set_limits(ready_max=1 + number % 4)
            case "lose" if number == 0:
                for backend in self._backends:
                    backend.lose()
                assert self._beat() == [True, True]

    @rule(below=st.integers(0, MAX_OFFSETS), noted=st.integers(0, MAX_OFFSETS))
    def forget_answered(self, below, noted):
        """What came back, and Kafka knows as answered, goes; what ran keeps its slot."""
        runs = [range(below), range(max(below + 1, noted), noted + 2)]
        runs = [run for run in runs if run]
        live = self._both("partition", SOURCE, 0, MAX_OFFSETS + 10).live
        gone = {key for at, key in live.items() if any(at in run for run in runs)}
        for key in gone:
            self._voids(key)
        self._last = ("forget_answered", (SOURCE, runs), None)
        self._both("forget_answered", SOURCE, runs)
        for key in KEYS:
            was, view = self._state(key), self._view(key)
            now = view.state if view else None
            assert (
                now in STEP_TABLE["forget_answered", was]
                if key in gone
                else (now is was)
            )
            self._before[key] = view

    # -- what Redis was, and is again ---------------------------------------------

    @rule()
    def beat(self):
        """An epoch begins where Redis shows an older pulse than was seen, only there."""
        older = [
            there < known for there, known in zip(self._there, self._known, strict=True)
        ]
        assert self._beat() == older
        assert self._known[0].beats == self._known[1].beats

    @rule()
    def save(self):
        """A replica has come so far."""
        model = (self._before, self._voided, self._replies, self._capacity)
        facts = (self._epochs, self._there)
        saved = [backend.save() for backend in self._backends]
        self._saved = saved, deepcopy(model), deepcopy(facts)

    @precondition(lambda self: self._saved is not None)
    @rule()
    def roll_back(self):
        """It is promoted; until the next beat nobody sees that."""
        saved, model, facts = self._saved
        for backend, one in zip(self._backends, saved, strict=True):
            backend.rollback(one)
        self._before, self._voided, self._replies, self._capacity = deepcopy(model)
        self._epochs, self._there = deepcopy(facts)
        self._last = None
        self._listen()

    # -- what no history may break ------------------------------------------------

    def _snapshot(self) -> Snapshot:
        return self._both("snapshot")

    def _picture(self) -> Any:
        views = [self._view(key) for key in KEYS]
        done = self._both("partition", SOURCE, 0, MAX_OFFSETS + 10)
        totals = self._both("totals")
        return timeless(views), timeless(self._snapshot()), done, totals

    @invariant()
    def turns_grow_and_what_is_done_stays_done(self):
        for key in KEYS:
            view = self._view(key)
            before = self._before[key]
            if view and before and view.state is not State.ANSWERED:
                assert view.turn >= before.turn
            reply = self._both("reply", key)
            if reply is not None:
                assert self._replies.setdefault(key, reply.value) == reply.value
            elif view is None:
                self._replies.pop(key, None)

    @invariant()
    def slots_are_what_runs_or_was_voided(self):
        slots = {slot.key for slot in self._snapshot().slots}
        views = {key: view for key in KEYS if (view := self._view(key))}
        runs = {
            key
            for key, view in views.items()
            if view.state is State.RUNNING and view.lease_left_ms > 0
        }
        assert runs <= slots
        assert slots <= runs | self._voided

    @invariant()
    def the_partition_and_the_totals_agree(self):
        self._both("partition", SOURCE, 0, MAX_OFFSETS + 10)
        self._both("totals")

    @invariant()
    def the_change_logs_agree(self):
        pages = []
        for number, (ledger, epoch) in enumerate(
            zip(self._ledgers, self._epochs, strict=True)
        ):
            cursor, page = ledger.changes(epoch, self._cursors[number], 0)
            self._cursors[number] = cursor
            pages.append([timeless(change) for change in page])
        assert pages[0] == pages[1]

    def teardown(self):
        """Answer everything: nothing may be left that does not end by itself."""
        self._set_limits(horizon_s=1)
        for key in KEYS:
            self._both(
                "complete", key, None, b"end", CallOutcome(ok=True, called=False)
            )
            self._both("published", key, RecordAt("results", 0, 1))
            for lease in LEASES:
                self._both("put_back", key, lease)
        self._both("forget_done", SOURCE, 10 * 65_536)
        for ledger, epoch in zip(self._ledgers, self._epochs, strict=True):
            ledger.membership.drop_older(epoch)
        client, root = self._redis.client, f"{self._redis.namespace}:"
        kept = {"epoch", "dispatcher", "changes", "limits", "totals", "watermarks"}
        kept |= {"places", "plan", "next", "lists", "turns", "revision", "workers"}
        for name in self._redis.names():
            words = set(name.decode().removeprefix(root).split(":"))
            assert words & kept or client.ttl(name) > 0, name
        self._redis.lose()
        self._redis.ledger.close()


def timeless(value: Any) -> Any:
    """Leave out what depends on the moment of asking; keep whether it is over."""
    match value:
        case list() | tuple() if not hasattr(value, "_fields"):
            value = [timeless(one) for one in value]
        case TurnAnswer():
            value = replace(value, taken=tuple(map(timeless, value.taken)))
        case Taken():
            value = replace(value, time_left_ms=value.time_left_ms > 0, queued_ms=0)
        case EntryView():
            value = replace(
                value,
                since_ms=0,
                lease_left_ms=value.lease_left_ms > 0,
                overdue_ms=value.overdue_ms > 0,
            )
        case Snapshot():
            ready = {one.facts.key: _later(one) for one in value.ready}
            value = ready, {slot.key: slot for slot in value.slots}
        case Change():
            later = _later(value.ready) if value.ready else None
            value = replace(value, at="", ready=later)
    return value


def _later(ready: Any) -> Any:
    return replace(ready, not_before_ms=int(ready.not_before_ms > 0))


def agree(url: str, examples: int, steps: int, number: int | None = None) -> None:
    """Check so many histories; with each number others, which are always the same."""

    def twins() -> Twins:
        return Twins(url)

    run_state_machine_as_test(
        twins if number is None else seed(number)(twins),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(400)  # a failure is made small first, which may take 300 s
def test_redis_and_memory_agree_on_any_history_and_break_no_rule(
    redis_url: str, request: pytest.FixtureRequest
):
    """Others on each server; `test-long` has all of them on both."""
    server = request.node.callspec.params["redis_url"]
    agree(redis_url, examples=20, steps=40, number=SERVERS.index(server))


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("examples", "number"),
    [(1_000, None), *((20, number) for number in range(len(SERVERS)))],
)
def test_that_is_so_for_many_more_histories(
    redis_url: str, examples: int, number: int | None
):
    agree(redis_url, examples, steps=40, number=number)
