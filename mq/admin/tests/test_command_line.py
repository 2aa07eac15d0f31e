"""The command line itself: what a wrong one is told, what a silent cluster ends with, and the three faces of output."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator

import pytest

from mq.__main__ import main as mq_main
from mq.admin import not_here
from mq.admin.app import families, main
from mq.admin.command import moment
from mq.admin.report import Fields, Table, json_key, show
from mq.admin.tests.conftest import Admin, Beside
from mq.testing import standalone

COMMANDS = [command for family in families() for command in family.commands]


def refused(*words: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(words, out, err)
    assert out.getvalue() == ""
    (sentence,) = err.getvalue().splitlines()
    return status, sentence


class TestAWrongCommandLine:
    def test_is_told_that_there_is_no_such_command(self):
        assert refused("listTopics") == (
            2,
            "mq admin: there is no command 'listTopics'; `python -m mq admin help` lists them",
        )

    def test_is_told_which_flag_is_missing(self):
        assert refused("topicRoute") == (2, "mq admin: topicRoute: the following arguments are required: -t/--topic")

    def test_is_told_that_a_broker_or_a_cluster_is_needed(self, admin: Admin):
        status, sentence = admin.refusal("brokerStatus")
        assert (status, sentence) == (2, "-b/--brokerAddr ADDRESS or -c/--clusterName CLUSTER is needed")

    @pytest.mark.parametrize(
        ("words", "what"),
        [
            (("updateTopic", "-t", "T", "-p", "9"), "'9' is no permission"),
            (("updateTopic", "-t", "T", "-o", "perhaps"), "'perhaps' is neither true nor false"),
            (("updateTopic", "-t", "T", "-r", "-1"), "'-1' is no number"),
            (("resetOffsetByTime", "-g", "G", "-t", "T", "-s", "yesterday"), "'yesterday' is no time"),
            (("topicList", "-n", "nowhere"), "'nowhere' is not host:port"),
        ],
    )
    def test_is_told_what_a_flag_cannot_be(self, words: tuple[str, ...], what: str):
        status, sentence = refused(*words)
        assert status == 2
        assert what in sentence

    @pytest.mark.parametrize("command", not_here.SENTENCES)
    def test_is_told_why_a_command_of_mqadmin_is_not_here(self, command: str):
        status, sentence = refused(command, "-t", "whatever")
        assert status == 2
        assert sentence.startswith(f"mq admin: {command}: ")


#: What mqadmin 5.3.3 lists.
MQADMIN = frozenset(
    [
        "addBroker",
        "addWritePerm",
        "allocateMQ",
        "brokerConsumeStats",
        "brokerStatus",
        "checkMsgSendRT",
        "checkRocksdbCqWriteProgress",
        "cleanBrokerMetadata",
        "cleanExpiredCQ",
        "cleanUnusedTopic",
        "cloneGroupOffset",
        "clusterList",
        "clusterRT",
        "consumeMessage",
        "consumerConnection",
        "consumerProgress",
        "consumerStatus",
        "copyAcl",
        "copyUser",
        "createAcl",
        "createUser",
        "deleteAcl",
        "deleteExpiredCommitLog",
        "deleteKvConfig",
        "deleteSubGroup",
        "deleteTopic",
        "deleteUser",
        "dumpCompactionLog",
        "electMaster",
        "exportConfigs",
        "exportMetadata",
        "exportMetadataInRocksDB",
        "exportMetrics",
        "exportPopRecord",
        "getAcl",
        "getBrokerConfig",
        "getBrokerEpoch",
        "getColdDataFlowCtrInfo",
        "getConsumerConfig",
        "getConsumerStatus",
        "getControllerConfig",
        "getControllerMetaData",
        "getNamesrvConfig",
        "getSyncStateSet",
        "getUser",
        "haStatus",
        "listAcl",
        "listUser",
        "printMsg",
        "printMsgByQueue",
        "producer",
        "producerConnection",
        "queryCq",
        "queryMsgById",
        "queryMsgByKey",
        "queryMsgByOffset",
        "queryMsgByUniqueKey",
        "queryMsgTraceById",
        "remappingStaticTopic",
        "removeBroker",
        "removeColdDataFlowCtrGroupConfig",
        "resetMasterFlushOffset",
        "resetOffsetByTime",
        "rocksDBConfigToJson",
        "sendMessage",
        "sendMsgStatus",
        "setCommitLogReadAheadMode",
        "setConsumeMode",
        "skipAccumulatedMessage",
        "startMonitoring",
        "statsAll",
        "topicClusterList",
        "topicList",
        "topicRoute",
        "topicStatus",
        "updateAcl",
        "updateBrokerConfig",
        "updateColdDataFlowCtrGroupConfig",
        "updateControllerConfig",
        "updateKvConfig",
        "updateNamesrvConfig",
        "updateOrderConf",
        "updateStaticTopic",
        "updateSubGroup",
        "updateSubGroupList",
        "updateTopic",
        "updateTopicList",
        "updateTopicPerm",
        "updateUser",
        "wipeWritePerm",
    ]
)


class TestEveryCommandOfMqadmin:
    def test_is_here_or_says_why_not(self):
        ours = {command.name for command in COMMANDS}
        assert ours.isdisjoint(not_here.SENTENCES)
        assert (ours | set(not_here.SENTENCES)) - {"resendDeadLetters"} == MQADMIN


class TestASilentCluster:
    @pytest.mark.parametrize(
        "words", [("topicList",), ("topicRoute", "-t", "T"), ("clusterList",), ("consumerProgress", "-g", "G")]
    )
    def test_ends_with_three(self, words: tuple[str, ...]):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        status, sentence = refused(*words, "-n", address)
        assert status == 3
        assert address in sentence

    def test_is_told_apart_from_one_that_says_no(self, admin: Admin):
        status, sentence = admin.refusal("topicRoute", "-t", "NoSuchTopic")
        assert (status, sentence) == (1, "no broker serves topic 'NoSuchTopic'")


class TestHelp:
    def test_lists_every_command_by_family(self):
        out = io.StringIO()
        assert main(["help"], out) == 0
        listed = {line.split()[0] for line in out.getvalue().splitlines() if line}
        assert {command.name for command in COMMANDS} <= listed

    @pytest.mark.parametrize("command", [command.name for command in COMMANDS])
    def test_explains_one_command(self, command: str):
        out = io.StringIO()
        assert main([command, "-h"], out) == 0
        assert f"python -m mq admin {command}" in out.getvalue()

    def test_is_reached_through_python_m_mq(self, capsys: pytest.CaptureFixture[str]):
        assert mq_main(["admin", "help"]) == 0
        assert "updateTopic" in capsys.readouterr().out


class TestTheNameServer:
    def test_may_come_from_the_environment(self, admin: Admin, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MQ_NAMESRV_ADDR", admin.namesrv)
        out = io.StringIO()
        assert main(["topicList"], out) == 0
        assert "broker-a" in out.getvalue()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, beside: Beside) -> Iterator[Admin]:
    folder = tmp_path_factory.mktemp("guarded")
    accounts = folder / "plain_acl.yml"
    accounts.write_text("accounts:\n- accessKey: operator\n  secretKey: operator-secret-1\n  admin: true\n")
    accounts.chmod(0o600)
    broker = standalone(folder / "store", acl=True, acl_file=accounts)
    running = beside(broker.__aenter__())
    yield Admin(running.namesrv, running.broker_address)
    beside(broker.__aexit__(None, None, None))


class TestAnAccount:
    """A broker that asks who comes; the account is in the environment, never on the command line."""

    def test_opens_a_broker_that_asks_for_one(self, guarded: Admin, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MQ_ACCESS_KEY", "operator")
        monkeypatch.setenv("MQ_SECRET_KEY", "operator-secret-1")
        assert guarded("getBrokerConfig", "-b", guarded.broker)[guarded.broker]["brokerName"] == "broker-a"

    def test_is_missed(self, guarded: Admin):
        status, sentence = guarded.refusal("getBrokerConfig", "-b", guarded.broker)
        assert status == 1
        assert sentence.startswith("response code ")

    def test_is_a_key_and_a_secret(self, guarded: Admin, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("MQ_ACCESS_KEY", "operator")
        assert guarded.refusal("topicList") == (2, "MQ_ACCESS_KEY and MQ_SECRET_KEY belong together")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestOutput:
    LONG = "x" * 300
    REPORT = (Table(("#Broker Name", "#QID"), [(LONG, 7)]), Fields({"Consume TPS": 1.0}))

    def test_to_a_pipe_is_one_line_per_row_and_never_cut(self):
        out = io.StringIO()
        show(self.REPORT, out, as_json=False)
        head, row, total = out.getvalue().splitlines()
        assert head.split() == ["#Broker", "Name", "#QID"]
        assert row.split() == [self.LONG, "7"]
        assert total == "Consume TPS  1.00"

    def test_to_a_terminal_is_folded_and_never_cut(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "80")
        out = _Terminal()
        show(self.REPORT, out, as_json=False)
        assert out.getvalue().count("x") == 300
        assert "…" not in out.getvalue()

    def test_as_json_is_one_object(self):
        out = io.StringIO()
        show(self.REPORT, out, as_json=True)
        assert json.loads(out.getvalue()) == {"rows": [{"brokerName": self.LONG, "qid": 7}], "consumeTps": 1.0}

    @pytest.mark.parametrize(
        ("title", "key"),
        [
            ("#Broker Name", "brokerName"),
            ("#QID", "qid"),
            ("#PCWait(ms)", "pcWaitMs"),
            ("#clientId", "clientId"),
            ("Avg RT", "avgRt"),
            ("readQueueNums", "readQueueNums"),
        ],
    )
    def test_names_fields_after_titles(self, title: str, key: str):
        assert json_key(title) == key


class TestATime:
    def test_is_epoch_milliseconds_or_mqadmin_s_form(self):
        assert moment("1700000000123") == 1700000000123
        assert moment("-1") == -1
        assert moment("2023-11-14#22:13:20:123") % 1000 == 123
