"""The cases of the C++ client: `python cases.py NAMESRV` prints a line of JSON for each, with what a user of it saw.

Each needs the topic of its name. The binding hands every call to librocketmq. Each case is a process of its own: the
library keeps one client for all producers of a process, and one that is shut down takes the others with it.
"""

import json
import queue
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rocketmq.client import Message, Producer, PullConsumer, PushConsumer
from rocketmq.exceptions import RocketMQException
from rocketmq.ffi import _CLogLevel, dll

PATIENCE_S = 60
namesrv = sys.argv[-1]


def started_producer(group):
    producer = Producer(group, timeout=30_000)
    producer.set_namesrv_addr(namesrv)
    dll.SetProducerLogLevel(producer._handle, _CLogLevel.FATAL)
    producer.start()
    return producer


def message(topic, text, tags="A"):
    one = Message(topic)
    one.set_keys(text)
    one.set_tags(tags)
    one.set_body(text)
    return one


def send(topic, *texts):
    producer = started_producer(f"{topic}-producers")
    for text in texts:
        producer.send_sync(message(topic, text, tags=text))
    producer.shutdown()


def consumed(topic, count, *, group="", tags="*", orderly=False, told=lambda message: message.body.decode()):
    """What comes, at least `count` messages, as `told` tells them."""
    got = queue.Queue()
    consumer = PushConsumer(group or f"{topic}-group", orderly=orderly)
    consumer.set_namesrv_addr(namesrv)
    dll.SetPushConsumerLogLevel(consumer._handle, _CLogLevel.FATAL)
    consumer.subscribe(topic, lambda message: got.put(told(message)), tags)
    consumer.start()
    first = [got.get(timeout=PATIENCE_S) for _ in range(count)]
    time.sleep(1)  # for what should not come, and the offsets to be stored
    consumer.shutdown()
    return first + [got.get() for _ in range(got.qsize())]


def synchronous_sends(topic):
    producer = started_producer("cpp-producers")
    results = [producer.send_sync(message(topic, text)) for text in ("one", "two")]
    return ", then ".join(f"{result.status.name} with an id of {len(result.msg_id)} digits" for result in results)


def sends_to_one_queue(topic):
    producer = started_producer("cpp-producers")
    results = [producer.send_orderly(message(topic, text), 0, queue_selector=lambda *_: 1) for text in ("one", "two")]
    return ", then ".join(f"{result.status.name} at {result.offset}" for result in results)


def one_way_send(topic):
    producer = started_producer("cpp-producers")
    producer.send_oneway(message(topic, "thrown"))
    return " ".join(consumed(topic, 1))


def batch_arrives_as_one_message(topic):
    producer = started_producer("cpp-producers")
    result = producer.send_batch([message(topic, text) for text in ("b0", "b1", "b2")])
    return f"{result.status.name}; {len(consumed(topic, 1))} message"


def body_over_the_limit(topic):
    producer = Producer("cpp-producers", timeout=30_000, max_message_size=8 << 20)
    producer.set_namesrv_addr(namesrv)
    producer.set_compress_level(0)
    producer.start()
    try:
        return producer.send_sync(message(topic, "x" * (5 << 20))).status.name
    except RocketMQException as error:
        return f"{type(error).__name__}"


def send_to_a_topic_that_is_not_there(_):
    send("cpp-auto", "first")
    return f"{consumed('cpp-auto', 1)[0]} is consumed"


def concurrent_consumer(topic):
    send(topic, "one", "two", "three")
    return " ".join(sorted(consumed(topic, 3)))


def consumer_of_two_tags(topic):
    send(topic, "blue", "red", "black", "green")
    return " ".join(sorted(consumed(topic, 2, tags="red || green")))


def orderly_consumer(topic):
    producer = started_producer("cpp-producers")
    for number in range(10):
        producer.send_orderly(message(topic, str(number)), 0, queue_selector=lambda *_: 0)
    return " ".join(consumed(topic, 10, orderly=True))


def delay_level(topic):
    producer = started_producer("cpp-producers")
    later = message(topic, "later")
    later.set_delay_time_level(2)
    producer.send_sync(later)

    def told(message):
        return "not before 2 s" if message.store_timestamp - message.born_timestamp >= 2000 else "too early"

    return ", ".join(consumed(topic, 1, told=told))


def failed_message_comes_again(topic):
    send(topic, "difficult")

    def told(message):
        if message.reconsume_times == 0:
            raise RuntimeError("not yet")
        return f"{message.body.decode()} after {message.reconsume_times} retries"

    return ", ".join(consumed(topic, 1, told=told))


def offsets_are_remembered(topic):
    send(topic, "before")
    first = consumed(topic, 1)
    send(topic, "after")
    return ", then ".join(first + consumed(topic, 1))


def pull_consumer(topic):
    send(topic, "one", "two", "three")
    consumer = PullConsumer(f"{topic}-group")
    consumer.set_namesrv_addr(namesrv)
    dll.SetPullConsumerLogLevel(consumer._handle, _CLogLevel.FATAL)
    consumer.start()
    got = []
    deadline = time.monotonic() + PATIENCE_S
    while len(got) < 3 and time.monotonic() < deadline:
        got += [message.body.decode() for message in consumer.pull(topic)]
    consumer.shutdown()
    return " ".join(sorted(got))


CASES = (
    synchronous_sends,
    sends_to_one_queue,
    one_way_send,
    batch_arrives_as_one_message,
    body_over_the_limit,
    send_to_a_topic_that_is_not_there,
    concurrent_consumer,
    consumer_of_two_tags,
    orderly_consumer,
    delay_level,
    failed_message_comes_again,
    offsets_are_remembered,
    pull_consumer,
)


def play(case):
    try:
        return case(case.__name__)
    except Exception as error:
        return f"FAILED: {type(error).__name__} {error}"


if __name__ == "__main__":
    with ProcessPoolExecutor(len(CASES), get_context("spawn"), max_tasks_per_child=1) as processes:
        for case, answer in zip(CASES, processes.map(play, CASES), strict=True):
            print(json.dumps({"case": case.__name__.replace("_", " "), "answer": answer}, separators=(",", ":")))
