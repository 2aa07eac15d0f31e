"""The official gRPC client for Python on a topic of one queue, in order: what is locked, unlocked, and given again,
and a message that fails until it is given up, which must not hold up the one behind it.

Run by tests/interop/test_proxy.py with an interpreter of its own: `fifo_consumer.py ENDPOINT TOPIC GROUP`. Prints one
JSON object.
"""

import json
import sys
import time

from rocketmq import ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer

PATIENCE_S = 60
INVISIBLE_S = 60
LONG_POLLING_S = 3

endpoint, topic, group = sys.argv[1:]


def message(text):
    made = Message()
    made.topic, made.body, made.message_group = topic, text.encode(), "order-17"
    return made


def until(receive):
    """A proxy that has not heard of a new client yet answers with an internal error; a message may not be there yet."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if received := receive():
                return received
        except Exception:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            return []
        time.sleep(0.1)


def texts(messages):
    return [[each.body.decode(), each.delivery_attempt] for each in messages]


configuration = ClientConfiguration(endpoint, Credentials())
producer = Producer(configuration, (topic,))
producer.startup()
for number in range(4):
    producer.send(message(f"m{number}"))
consumer = SimpleConsumer(configuration, group, {topic: FilterExpression("*")}, LONG_POLLING_S)
consumer.startup()

seen = {}
first = until(lambda: consumer.receive(2, INVISIBLE_S))
seen["first"] = texts(first)
seen["while it is locked"] = texts(consumer.receive(2, INVISIBLE_S))
for each in first:
    consumer.ack(each)
second = until(lambda: consumer.receive(1, INVISIBLE_S))
seen["unlocked"] = texts(second)
consumer.change_invisible_duration(second[0], 10)
again = until(lambda: consumer.receive(2, INVISIBLE_S))
seen["visible again"] = texts(again)
for each in again:
    consumer.ack(each)

producer.send(message("poison"))
for _ in range(2):
    (poison,) = until(lambda: consumer.receive(1, INVISIBLE_S))
    consumer.change_invisible_duration(poison, 10)
seen["given up"] = texts([poison])
producer.send(message("next"))
behind = until(lambda: consumer.receive(2, INVISIBLE_S))
seen["behind it"] = texts(behind)
for each in behind:
    consumer.ack(each)
seen["at the end"] = texts(consumer.receive(2, INVISIBLE_S))

consumer.shutdown()
producer.shutdown()
print(json.dumps(seen))
