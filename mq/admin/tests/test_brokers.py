"""Commands about clusters, brokers and name servers."""

from __future__ import annotations

import io
import json

from mq.admin.app import main
from mq.admin.tests.conftest import Admin

CLUSTER = "DefaultCluster"


class TestClusterList:
    def test_shows_every_broker_under_mqadmin_s_titles(self, admin: Admin):
        head, row = admin.text("clusterList").splitlines()
        titles = "#BID #Addr #Version #InTPS(LOAD) #OutTPS(LOAD) #Timer(Progress) #PCWait(ms) #Hour #SPACE #ACTIVATED"
        assert head.split()[4:] == titles.split()
        assert row.split()[:5] == [CLUSTER, "broker-a", "0", admin.broker, "V5_3_3"]

    def test_counts_the_messages_of_the_day(self, admin: Admin):
        before = admin("clusterList", "-m")["rows"][0]
        admin("sendMessage", "-t", "TBW102", "-p", "hello")
        assert admin("clusterList", "-m")["rows"][0]["inTotalToday"] >= before["inTotalToday"]

    def test_shows_one_cluster_only_if_it_is_there(self, admin: Admin):
        assert len(admin("clusterList", "-c", CLUSTER)["rows"]) == 1
        assert admin.refusal("clusterList", "-c", "Elsewhere")[0] == 1

    def test_comes_again_with_an_interval(self, admin: Admin):
        out = io.StringIO()
        assert main(["clusterList", "-i", "0", "--rounds", "3", "--json", "-n", admin.namesrv], out) == 0
        assert [len(json.loads(line)["rows"]) for line in out.getvalue().splitlines()] == [1, 1, 1]


class TestTimings:
    def test_of_every_broker(self, admin: Admin):
        (row,) = admin("clusterRT", "-a", 3, "-s", 16)["rows"]
        assert (row["brokerName"], row["successCount"], row["failCount"]) == ("broker-a", 3, 0)
        assert row["rt"] > 0

    def test_of_every_message_to_a_broker(self, admin: Admin):
        rows = admin("sendMsgStatus", "-b", "broker-a", "-c", 4)["rows"]
        assert [row["sendResult"] for row in rows] == ["SEND_OK"] * 4

    def test_of_every_queue_in_turn(self, admin: Admin):
        admin("updateTopic", "-t", "timed", "-c", CLUSTER, "-w", 2, "-r", 2)
        answer = admin("checkMsgSendRT", "-t", "timed", "-a", 4)
        assert [(row["qid"], row["sendResult"]) for row in answer["rows"]] == [(0, True), (1, True)] * 2
        assert answer["avgRt"] > 0


class TestABroker:
    def test_tells_what_it_is_doing(self, admin: Admin):
        status = admin("brokerStatus", "-c", CLUSTER)[admin.broker]
        assert status["brokerVersionDesc"] == "V5_3_3"
        assert "EndTransactionQueueSize" in status

    def test_tells_its_settings(self, admin: Admin):
        assert admin("getBrokerConfig", "-b", admin.broker)[admin.broker]["brokerName"] == "broker-a"

    def test_that_is_not_there_ends_with_three(self, admin: Admin):
        status, sentence = admin.refusal("brokerStatus", "-b", "127.0.0.1:1")
        assert status == 3
        assert "127.0.0.1:1" in sentence

    def test_clears_away(self, admin: Admin):
        for command in ("cleanExpiredCQ", "cleanUnusedTopic", "deleteExpiredCommitLog"):
            assert admin(command)["brokers"] == [admin.broker]
            assert admin(command, "-c", CLUSTER)["brokers"] == [admin.broker]

    def test_has_no_replicas(self, admin: Admin):
        status = admin("haStatus", "-b", admin.broker)
        assert (status["masterAddr"], status["slaveNum"], status["slaves"]) == (admin.broker, 0, [])

    def test_takes_a_new_setting(self, admin: Admin):
        admin("updateBrokerConfig", "-c", CLUSTER, "-k", "transactionCheckMax", "-v", 7, "-a", "true")
        assert admin("getBrokerConfig", "-c", CLUSTER)[admin.broker]["transactionCheckMax"] == "7"

    def test_passes_a_refusal_of_a_new_setting_on(self, admin: Admin):
        status, sentence = admin.refusal("updateBrokerConfig", "-b", admin.broker, "-k", "storePathRootDir", "-v", "/")
        assert status == 1
        assert sentence.startswith("response code ")


class TestNameServers:
    def test_tell_their_settings(self, admin: Admin):
        assert admin("getNamesrvConfig")[admin.namesrv]["orderMessageEnable"] == "false"

    def test_take_a_new_setting(self, admin: Admin):
        admin("updateNamesrvConfig", "-k", "scanNotActiveBrokerInterval", "-v", 4000)
        assert admin("getNamesrvConfig")[admin.namesrv]["scanNotActiveBrokerInterval"] == "4000"

    def test_pass_a_refusal_of_a_new_setting_on(self, admin: Admin):
        status, sentence = admin.refusal("updateNamesrvConfig", "-k", "kvConfigPath", "-v", "/")
        assert status == 1
        assert sentence.startswith("response code ")

    def test_keep_notes(self, admin: Admin):
        # `updateOrderConf` reads what `updateKvConfig` wrote.
        admin("updateKvConfig", "-s", "ORDER_TOPIC_CONFIG", "-k", "noted", "-v", "broker-a:2")
        assert admin("updateOrderConf", "-t", "noted", "-m", "get")["orderConf"] == "broker-a:2"
        admin("deleteKvConfig", "-s", "ORDER_TOPIC_CONFIG", "-k", "noted")
        assert admin.refusal("updateOrderConf", "-t", "noted", "-m", "get")[0] == 1

    def test_send_producers_to_a_broker_or_not(self, admin: Admin):
        admin("updateTopic", "-t", "wiped", "-c", CLUSTER)
        assert admin("wipeWritePerm", "-b", "broker-a")["rows"][0]["topics"] > 0
        assert admin("topicRoute", "-t", "wiped")["queueDatas"][0]["perm"] == 4
        admin("addWritePerm", "-b", "broker-a")
        assert admin("topicRoute", "-t", "wiped")["queueDatas"][0]["perm"] == 6
