"""Programs that hand anything to a published class; each must end with a clear error.

Run as `python -m tests.support.arguments NAME`: it prints the kind of the error and its
text, or `accepted`. In a process of its own, because some ended the process.
"""

import sys
from collections.abc import Callable

from agentsched.client import AgentClient
from agentsched.kafka.consumer import Consumer
from agentsched.kafka.producer import Producer
from agentsched.types import Message
from agentsched.wire.records import OutboundRecord

NOWHERE = "127.0.0.1:9"
HALF = "a\udcff"
ZERO = "a\0b"
SECRET = "the secret prompt"
QUIET = {"log_level": 0, "delivery.timeout.ms": 300}


def produced(**changes: object) -> Callable[[], object]:
    def produce() -> object:
        arguments = {"value": {"id": "x", "content": SECRET}, "topic": "t"} | changes
        with Producer(NOWHERE, properties=QUIET) as producer:
            return producer.produce(**arguments)

    return produce


def sent(**changes: object) -> Callable[[], object]:
    def send() -> object:
        arguments = {"value": SECRET.encode(), "topic": "t"} | changes
        with Producer(NOWHERE, properties=QUIET) as producer:
            error = producer.send(OutboundRecord(**arguments)).exception(0)
            if error is not None:
                raise error
            return None

    return send


def header(name: object = "x", value: object = b"x") -> Callable[[], object]:
    return produced(headers={name: value})


def configured(properties: object, servers: object = NOWHERE) -> Callable[[], object]:
    def configure() -> None:
        for kind in (
            lambda: Producer(servers, properties=properties).flush(),
            lambda: Consumer(servers, "g", properties=properties),
            lambda: AgentClient(servers, properties=properties),
        ):
            try:
                kind()
            except ValueError as error:
                last = error
            else:
                raise AssertionError("accepted by one of them")
        raise last

    return configure


def subscribed(topics: object) -> Callable[[], object]:
    return lambda: Consumer(NOWHERE, "g", "earliest").subscribe(topics)


def asked(content: object = SECRET, **options: object) -> Callable[[], object]:
    return lambda: AgentClient(NOWHERE).submit(content, **options)


def client(**options: object) -> Callable[[], object]:
    return lambda: AgentClient(NOWHERE, **options)


def cancelled(*arguments: object) -> Callable[[], object]:
    return lambda: AgentClient(NOWHERE).cancel(*arguments)


CIRCULAR: dict[str, object] = {"content": SECRET}
CIRCULAR["self"] = CIRCULAR

REFUSED = {
    # own (row I of the cases that users of other products reported)
    "header-name-half": header(HALF),
    "header-name-zero": header(ZERO),
    "header-name-bytes": header(b"x"),
    "header-name-number": header(7),
    "header-name-none": header(None),
    "header-value-half": header(value=HALF),
    "header-value-number": header(value=7),
    "header-value-list": header(value=[SECRET]),
    "headers-text": produced(headers="x"),
    "headers-list": produced(headers=[("a", b"b")]),
    "headers-number": produced(headers=7),
    "key-half": produced(key=HALF),
    "key-number": produced(key=7),
    "key-from-the-fields-half": produced(value={"correlation_id": HALF}),
    "topic-half": produced(topic=HALF),
    "topic-zero": produced(topic=ZERO),
    "topic-blank": produced(topic="a b"),
    "topic-empty": produced(topic=""),
    "topic-none": produced(topic=None),
    "topic-bytes": produced(topic=b"t"),
    "topic-long": produced(topic="t" * 250),
    "topic-dots": produced(topic=".."),
    "value-none": produced(value=None),
    "value-number": produced(value=7),
    "value-list": produced(value=[SECRET]),
    "value-half": produced(value=HALF + SECRET),
    "value-field-half": produced(value={"content": HALF + SECRET}),
    "value-name-half": produced(value={HALF: SECRET}),
    "value-object": produced(value={"content": object()}),
    "value-bytes-inside": produced(value={"content": SECRET.encode()}),
    "value-nan": produced(value={"params": {"temperature": float("nan")}}),
    "value-circular": produced(value=CIRCULAR),
    "value-huge": produced(value=b"x" * 10_000_000),
    "key-huge": produced(key=b"x" * 10_000_000),
    "header-huge": header(value=b"x" * 10_000_000),
    "send-header-name-half": sent(headers={HALF: "x"}),
    "send-header-name-zero": sent(headers={ZERO: "x"}),
    "send-header-value-number": sent(headers={"x": 7}),
    "send-key-half": sent(key=HALF),
    "send-topic-half": sent(topic=HALF),
    "send-partition-huge": sent(partition=2**40),
    "send-partition-negative": sent(partition=-2),
    "property-name-half": configured({HALF: "x"}),
    "property-name-zero": configured({"client.id\0": "x"}),
    "property-name-number": configured({7: "x"}),
    "property-half": configured({"client.id": HALF}),
    "property-zero": configured({"ssl.key.password": f"{SECRET}\0"}),
    "property-bytes": configured({"ssl.key.password": SECRET.encode()}),
    "property-list": configured({"bootstrap.servers": [NOWHERE]}),
    "property-object": configured({"client.id": object()}),
    "servers-half": configured({}, HALF),
    "servers-zero": configured({}, [ZERO]),
    "servers-none": configured({}, None),
    "servers-bytes": configured({}, b"localhost"),
    "servers-empty": configured({}, ""),
    "servers-empty-list": configured({}, []),
    "servers-of-none": configured({}, [None]),
    "group-half": lambda: Consumer(NOWHERE, HALF),
    "group-zero": lambda: Consumer(NOWHERE, ZERO),
    "group-bytes": lambda: Consumer(NOWHERE, b"g"),
    "reset-in-capitals": lambda: Consumer(NOWHERE, "g", "EARLIEST"),
    "reset-none": lambda: Consumer(NOWHERE, "g", None),
    "subscribe-half": subscribed([HALF]),
    "subscribe-half-pattern": subscribed(["^" + HALF]),
    "subscribe-zero": subscribed(ZERO),
    "subscribe-number": subscribed([7]),
    "subscribe-none": subscribed([None]),
    "client-reply-topic-half": client(reply_topic=HALF),
    "client-reply-topic-none": client(reply_topic=None),
    "client-input-topic-half": client(input_topics=[HALF]),
    "client-timeout-text": client(timeout_s="30"),
    "ask-content-half": asked(HALF + SECRET),
    "ask-content-bytes": asked(SECRET.encode()),
    "ask-content-number": asked(7),
    "ask-id-half": asked(correlation_id=HALF),
    "ask-id-number": asked(correlation_id=7),
    "ask-agent-half": asked(agent_id=HALF),
    "ask-trace-half": asked(traceparent=HALF),
    "ask-trace-zero": asked(traceparent=ZERO),
    "ask-trace-number": asked(traceparent=7),
    "ask-timeout-text": asked(timeout_s="30"),
    "ask-timeout-true": asked(timeout_s=True),
    "ask-timeout-huge": asked(timeout_s=1e300),
    "ask-ttl-text": asked(ttl_s="30"),
    "ask-ttl-true": asked(ttl_s=True),
    "ask-params-half": asked(params={"stop": HALF}),
    "cancel-half": cancelled(HALF),
    "cancel-number": cancelled(7),
    "cancel-empty": cancelled(""),
    "cancel-agent-half": cancelled("c", HALF),
}

ACCEPTED = {
    "value-bytearray": produced(value=bytearray(b"{}")),
    "value-memoryview": produced(value=memoryview(b"{}")),
    "value-text": produced(value="{}"),
    "value-message": produced(value=Message(id="x", content="\U0001f600")),
    "value-zero": produced(value=ZERO),
    "key-bytes": produced(key=b"\xff\0"),
    "key-bytearray": produced(key=bytearray(b"k")),
    "header-value-zero": header(value=ZERO),
    "header-value-none": header(value=None),
    "header-value-bytes": header(value=b"\xff\0"),
    "header-value-memoryview": header(value=memoryview(b"x")),
    "header-name-grüß": header("grüß"),
    "property-number": lambda: Producer(NOWHERE, properties={"linger.ms": 5}),
    "property-truth": lambda: Producer(NOWHERE, properties={"log_level": True}),
    "property-none": lambda: Producer(NOWHERE, properties={"client.id": None}),
    "property-callback": lambda: Consumer(
        NOWHERE, "g", properties={"stats_cb": lambda _: None}
    ),
    "servers-list": lambda: Producer([NOWHERE, NOWHERE]),
    "one-input-topic": client(input_topics="high_priority"),
}

CASES = REFUSED | ACCEPTED

if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            CASES[name]()
        except Exception as error:  # noqa: BLE001  (whatever it is, is the result)
            kinds = ",".join(each.__name__ for each in type(error).__mro__)
            print(f"{name}\t{kinds}\t{error}".replace("\n", " "), flush=True)  # noqa: T201
        else:
            print(f"{name}\taccepted\t", flush=True)  # noqa: T201
