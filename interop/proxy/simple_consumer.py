"""The official gRPC client for Python: sends, receives, acknowledges, and lets one message come again.

Run by tests/interop/test_proxy.py with an interpreter of its own: `simple_consumer.py ENDPOINT TOPIC GROUP`. Prints one
JSON object.
"""

import json
import sys
import time

from rocketmq import ClientConfiguration, Credentials, FilterExpression, Message, Producer, SimpleConsumer

COUNT = 10
PATIENCE_S = 60
INVISIBLE_S = 15

endpoint, topic, group = sys.argv[1:]


def message(text):
    made = Message()
    made.topic, made.body, made.tag, made.keys = topic, text.encode(), "A", text
    return made


def first_receive(consumer):
    """A proxy that has not heard of a new client yet answers with an internal error."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return consumer.receive(4, INVISIBLE_S)
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


configuration = ClientConfiguration(endpoint, Credentials())
producer = Producer(configuration, (topic,))
producer.startup()
for number in range(COUNT):
    producer.send(message(f"m{number}"))

consumer = SimpleConsumer(configuration, group, {topic: FilterExpression("*")})
consumer.startup()
received = []
deadline = time.monotonic() + PATIENCE_S
batch = first_receive(consumer)
while len(received) < COUNT and time.monotonic() < deadline:
    for each in batch:
        received.append(each.body.decode())
        consumer.ack(each)
    batch = consumer.receive(4, INVISIBLE_S) if len(received) < COUNT else []

producer.send(message("again"))
attempts = []
deadline = time.monotonic() + PATIENCE_S
while len(attempts) < 2 and time.monotonic() < deadline:
    for each in consumer.receive(4, INVISIBLE_S):
        attempts.append([each.body.decode(), each.delivery_attempt])
        if len(attempts) == 1:
            consumer.change_invisible_duration(each, 10)
        else:
            consumer.ack(each)

consumer.shutdown()
producer.shutdown()
print(json.dumps({"received": sorted(received), "attempts": attempts}))
