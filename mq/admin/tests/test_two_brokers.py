"""Commands on a cluster of two masters under one name server, and what is exported of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mq.admin.tests.conftest import Admin, Beside
from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.testing import SMALL_FILES, standalone

CLUSTER = "DefaultCluster"


@contextlib.asynccontextmanager
async def two_brokers(root: Path) -> AsyncIterator[dict[str, str]]:
    """Addresses by broker name, and the name server's under `namesrv`."""
    async with standalone(root / "a") as mq:
        settings: dict[str, Any] = {"broker_name": "broker-b", "listen_port": 0, "name_server_addresses": mq.namesrv}
        other = Broker(BrokerConfig(store_root=root / "b", **settings, **SMALL_FILES))
        await other.start()
        try:
            yield {"namesrv": mq.namesrv, "broker-a": mq.broker_address, "broker-b": other.address}
        finally:
            await other.stop()


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory, beside: Beside) -> Iterator[dict[str, str]]:
    cluster = two_brokers(tmp_path_factory.mktemp("cluster"))
    yield beside(cluster.__aenter__())
    beside(cluster.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def admin(brokers: dict[str, str]) -> Admin:
    return Admin(brokers["namesrv"], brokers["broker-a"])


def send(admin: Admin, topic: str, broker: str, body: str, key: str = "k") -> None:
    admin("sendMessage", "-t", topic, "-p", body, "-k", key, "-b", broker, "-i", 0)


class TestACluster:
    def test_is_shown_with_both(self, admin: Admin, brokers: dict[str, str]):
        rows = admin("clusterList")["rows"]

        assert [(row["brokerName"], row["addr"]) for row in rows] == [
            ("broker-a", brokers["broker-a"]),
            ("broker-b", brokers["broker-b"]),
        ]

    def test_gets_a_topic_on_both_and_loses_it_on_both(self, admin: Admin):
        admin("updateTopic", "-t", "parcels", "-c", CLUSTER, "-r", 2, "-w", 2)
        route = admin("topicRoute", "-t", "parcels")
        admin("deleteTopic", "-t", "parcels", "-c", CLUSTER)

        assert [queue["brokerName"] for queue in route["queueDatas"]] == ["broker-a", "broker-b"]
        assert admin.refusal("topicRoute", "-t", "parcels")[0] == 1

    def test_is_asked_for_messages_wherever_they_lie(self, admin: Admin):
        admin("updateTopic", "-t", "orders", "-c", CLUSTER, "-r", 1, "-w", 1)
        for broker in ("broker-a", "broker-b"):
            send(admin, "orders", broker, f"on {broker}", key="order-17")

        found = admin("queryMsgByKey", "-t", "orders", "-k", "order-17")["rows"]
        printed = admin("printMsg", "-t", "orders")["rows"]
        ids = [row["messageId"] for row in printed]

        assert len(found) == 2
        assert sorted(row["body"] for row in printed) == ["on broker-a", "on broker-b"]
        assert {admin("queryMsgByUniqueKey", "-t", "orders", "-i", one)["messageBody"] for one in ids} == {
            "on broker-a",
            "on broker-b",
        }

    def test_moves_a_group_on_both(self, admin: Admin):
        admin("updateTopic", "-t", "stock", "-c", CLUSTER, "-r", 1, "-w", 1)
        admin("updateSubGroup", "-g", "billing", "-c", CLUSTER)
        for broker in ("broker-a", "broker-b"):
            send(admin, "stock", broker, "moved")

        admin("skipAccumulatedMessage", "-g", "billing", "-t", "stock")

        rows = admin("consumerProgress", "-g", "billing")["rows"]
        moved = [row for row in rows if row["topic"] == "stock"]
        assert [(row["brokerName"], row["consumerOffset"], row["diff"]) for row in moved] == [
            ("broker-a", 1, 0),
            ("broker-b", 1, 0),
        ]

    def test_takes_one_out_of_service_and_back(self, admin: Admin):
        admin("updateTopic", "-t", "mail", "-c", CLUSTER, "-r", 1, "-w", 1)
        admin("wipeWritePerm", "-b", "broker-b")
        wiped = admin("topicRoute", "-t", "mail")["queueDatas"]
        admin("addWritePerm", "-b", "broker-b")
        back = admin("topicRoute", "-t", "mail")["queueDatas"]

        assert [(queue["brokerName"], queue["perm"]) for queue in wiped] == [("broker-a", 6), ("broker-b", 4)]
        assert [queue["perm"] for queue in back] == [6, 6]


class TestExport:
    """What mqadmin writes under these names."""

    def exported(self, admin: Admin, folder: Path, *words: object) -> dict[str, Any]:
        told = admin(*words, "-f", folder)
        return dict(json.loads(Path(told["file"]).read_text()))

    def test_of_settings_tells_what_tells_clusters_apart(self, admin: Admin, tmp_path: Path):
        found = self.exported(admin, tmp_path / "new", "exportConfigs", "-c", CLUSTER)

        assert found["clusterScale"] == {"namesrvSize": 1, "masterBrokerSize": 2, "slaveBrokerSize": 0}
        assert sorted(found["brokerConfigs"]) == ["broker-a", "broker-b"]
        assert found["brokerConfigs"]["broker-b"]["flushDiskType"] == "SYNC_FLUSH"
        assert "storePathRootDir" not in found["brokerConfigs"]["broker-b"]

    def test_of_topics_and_groups_adds_their_queues_up(self, admin: Admin, tmp_path: Path):
        admin("updateTopic", "-t", "invoices", "-c", CLUSTER, "-r", 3, "-w", 2)
        admin("updateSubGroup", "-g", "archive", "-c", CLUSTER, "-q", 2)

        found = self.exported(admin, tmp_path, "exportMetadata", "-c", CLUSTER)

        topic, group = found["topicConfigTable"]["invoices"], found["subscriptionGroupTable"]["archive"]
        assert (topic["readQueueNums"], topic["writeQueueNums"], topic["perm"]) == (6, 4, 6)
        assert group["retryQueueNums"] == 4
        assert not [name for name in found["topicConfigTable"] if name.startswith(("%RETRY%", "rmq_sys_", "TBW102"))]
        assert "TOOLS_CONSUMER" not in found["subscriptionGroupTable"]

    def test_of_one_broker_is_of_topics_or_of_groups(self, admin: Admin, brokers: dict[str, str], tmp_path: Path):
        admin("updateTopic", "-t", "receipts", "-b", brokers["broker-b"], "-r", 1, "-w", 1)

        found = self.exported(admin, tmp_path, "exportMetadata", "-b", brokers["broker-b"], "-t")
        status, _ = admin.refusal("exportMetadata", "-b", brokers["broker-b"], "-f", tmp_path)

        assert found["topicConfigTable"]["receipts"]["readQueueNums"] == 1
        assert "subscriptionGroupTable" not in found
        assert status == 2

    def test_of_figures_sums_brokers_up(self, admin: Admin, tmp_path: Path):
        found = self.exported(admin, tmp_path, "exportMetrics", "-c", CLUSTER)

        quotas = [broker["runtimeQuota"] for broker in found["evaluateReport"].values()]
        assert len(quotas) == 2
        assert sorted(found["totalData"]["totalTps"]) == [
            "totalNormalInTps",
            "totalNormalOutTps",
            "totalScheduleInTps",
            "totalTransInTps",
        ]
        assert found["totalData"]["totalOneDayNum"]["transOneDayInNum"] == 0

    def test_says_where_it_cannot_write(self, admin: Admin, tmp_path: Path):
        (tmp_path / "file").write_text("")

        status, sentence = admin.refusal("exportConfigs", "-c", CLUSTER, "-f", tmp_path / "file")

        assert (status, "cannot be written" in sentence) == (1, True)

    def test_knows_no_cluster_that_is_not_there(self, admin: Admin, tmp_path: Path):
        assert admin.refusal("exportMetrics", "-c", "elsewhere", "-f", tmp_path) == (1, "there is no cluster elsewhere")
