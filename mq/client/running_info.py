"""How a consumer is doing, as operators' tools ask (code 307): `ConsumerRunningInfo`.

Source: RocketMQ ConsumerRunningInfo.java, ProcessQueueInfo.java; remoting sheet 2.10.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

from mq.client.broker_requests import QueueKey
from mq.client.consume_statistics import ConsumeStatistics
from mq.client.instance import Client
from mq.client.process_queue import ProcessQueue
from mq.remoting.bodies import SubscriptionData
from mq.remoting.command import VERSION


def running_info(
    client: Client,
    subscriptions: Iterable[SubscriptionData],
    process_queues: Sequence[ProcessQueue],
    statistics: ConsumeStatistics,
    *,
    is_orderly: bool,
    thread_count: int,
    consume_type: str = "CONSUME_PASSIVELY",
) -> dict[str, Any]:
    topics = {process_queue.queue.topic for process_queue in process_queues}
    return {
        "mqPopTable": {},
        "mqTable": {QueueKey.of(each.queue): _process_queue_info(each) for each in process_queues},
        "properties": {
            "PROP_CLIENT_VERSION": f"V{VERSION}",
            "PROP_CONSUMEORDERLY": "true" if is_orderly else "false",
            "PROP_CONSUMER_START_TIMESTAMP": str(client.started_at_ms),
            "PROP_CONSUME_TYPE": consume_type,
            "PROP_NAMESERVER_ADDR": ";".join(client.name_server_addresses),
            "PROP_THREADPOOL_CORE_SIZE": str(thread_count),
        },
        "statusTable": {topic: statistics.status(topic) for topic in sorted(topics)},
        "subscriptionSet": [each.to_dict() for each in subscriptions],
        "userConsumerInfo": {},
    }


def _process_queue_info(process_queue: ProcessQueue) -> dict[str, Any]:
    count = len(process_queue)
    return {
        "cachedMsgCount": count,
        "cachedMsgMaxOffset": process_queue.next_offset - 1 if count else 0,
        "cachedMsgMinOffset": process_queue.first_offset if count else 0,
        "cachedMsgSizeInMiB": process_queue.held_bytes >> 20,
        "commitOffset": process_queue.commit_offset or 0,
        "droped": process_queue.is_dropped,
        "lastConsumeTimestamp": _epoch_ms(process_queue.last_consumed_at),
        "lastLockTimestamp": _epoch_ms(process_queue.last_locked_at),
        "lastPullTimestamp": _epoch_ms(process_queue.last_pulled_at),
        "locked": time.monotonic() < process_queue.lease_ends_at < math.inf,
        "transactionMsgCount": 0,
        "transactionMsgMaxOffset": 0,
        "transactionMsgMinOffset": 0,
        "tryUnlockTimes": 0,
    }


def _epoch_ms(monotonic_s: float) -> int:
    return int((time.time() - time.monotonic() + monotonic_s) * 1000) if monotonic_s else 0
