"""`python -m mq admin` on Apache RocketMQ and on the bundled broker: it reads both, and says the same of both."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mq.admin.app import main
from tests.interop.apache import Cluster, apache_rocketmq
from tests.interop.bundled import bundled_broker

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

CLUSTER = "DefaultCluster"
Ask = Callable[..., Any]


def asked(cluster: Cluster) -> Ask:
    def ask(*words: object) -> Any:
        """The JSON of a command; status and no more of one that fails."""
        out, err = io.StringIO(), io.StringIO()
        status = main([*map(str, words), "-n", cluster.namesrv, "--json"], out, err)
        return json.loads(out.getvalue()) if status == 0 else (status, " ".join(map(str, words)), err.getvalue())

    return ask


def prepare(ask: Ask) -> None:
    """A topic with five messages in two queues, and two groups of which one is in the middle."""
    ask("updateTopic", "-t", "orders", "-c", CLUSTER, "-r", 2, "-w", 2)
    for number in range(5):
        words = ("-p", f"body {number}", "-k", f"key-{number} all", "-c", "odd" if number % 2 else "even")
        ask("sendMessage", "-t", "orders", *words, "-b", "broker-a", "-i", number % 2)
    for group in ("billing", "follower"):
        ask("updateSubGroup", "-g", group, "-c", CLUSTER, "-r", 5)


def told(ask: Ask, broker: str) -> dict[str, Any]:
    """What commands say, without what differs from broker to broker: addresses, ids, times, rates."""
    prepare(ask)
    place = ("-b", broker, "-q", 0, "-o", 2)
    read = ask("printMsg", "-t", "orders")["rows"]
    found = ask("queryMsgByOffset", "-t", "orders", "-b", "broker-a", "-i", 1, "-o", 1)
    return {
        "route": ask("topicRoute", "-t", "orders")["queueDatas"],
        "clusters": ask("topicClusterList", "-t", "orders"),
        "status": [
            (row["qid"], row["minOffset"], row["maxOffset"]) for row in ask("topicStatus", "-t", "orders")["rows"]
        ],
        "allocation": ask("allocateMQ", "-t", "orders", "-i", "one,two"),
        "brokers": [(row["brokerName"], row["bid"]) for row in ask("clusterList")["rows"]],
        "totals": [sorted(row) for row in ask("clusterList", "-m")["rows"]],
        "config": ask("getBrokerConfig", "-c", CLUSTER)[broker]["brokerName"],
        "running": ask("brokerStatus", "-b", broker)[broker]["brokerVersionDesc"],
        "replicas": ask("haStatus", "-b", broker)["slaves"],
        "cleaned": [len(ask(command)["brokers"]) for command in ("cleanExpiredCQ", "cleanUnusedTopic")],
        "group": ask("getConsumerConfig", "-g", "billing")[broker]["retryMaxTimes"],
        "read": [(row["qid"], row["offset"], row["tags"], row["keys"], row["body"]) for row in read],
        "odd": [row["body"] for row in ask("printMsg", "-t", "orders", "-s", "odd")["rows"]],
        "by place": (found["messageBody"], found["keys"], found["queueId"], found["queueOffset"]),
        "by key": [row["offset"] for row in ask("queryMsgByKey", "-t", "orders", "-k", "all")["rows"]],
        "by unique id": ask("queryMsgByUniqueKey", "-t", "orders", "-i", read[0]["messageId"])["messageBody"],
        "by offset id": ask("queryMsgById", "-t", "orders", "-i", found["offsetID"])["messageBody"],
        "entries": [row["tagsCode"] for row in ask("queryCq", "-t", "orders", "-q", 0, "-i", 0, "-b", broker)["rows"]],
        "reset": ask("resetOffsetByTime", "-g", "billing", "-t", "orders", "-s", "now", *place)["rows"],
        "cloned": ask("cloneGroupOffset", "-s", "billing", "-d", "follower", "-t", "orders")["topic"],
        "perm": ask("updateTopicPerm", "-t", "orders", "-c", CLUSTER, "-p", 4)["perm"],
        "order": ask("updateOrderConf", "-t", "orders", "-m", "put", "-v", "broker-a:2")["orderConf"],
        "noted": ask("updateOrderConf", "-t", "orders", "-m", "get")["orderConf"],
        "no topic": ask("topicRoute", "-t", "elsewhere")[0],
        "nobody online": ask("consumerConnection", "-g", "billing", "-b", broker)[0],
    }


def test_commands_tell_the_same_of_both_brokers(tmp_path: Path) -> None:
    answers = {}
    for kind, start in (("apache", apache_rocketmq), ("bundled", bundled_broker)):
        folder = tmp_path / kind
        folder.mkdir()
        with contextlib.ExitStack() as running:
            cluster = running.enter_context(start(folder))
            answers[kind] = told(asked(cluster), cluster.broker)
    assert answers["bundled"] == answers["apache"]
