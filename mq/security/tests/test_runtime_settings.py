"""Codes 25 and 318: what a request may change, and that it can reach nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mq import properties_file
from mq.broker import runtime_config
from mq.broker.config import BrokerConfig
from mq.errors import ResponseError
from mq.namesrv import runtime_config as namesrv_runtime_config
from mq.namesrv.config import NameServerConfig
from mq.remoting.client import RemotingClient
from mq.remoting.command import RemotingCommand
from mq.security.runtime_settings import FLAG, MAX_REQUEST_BYTES, RuntimeSettings, between
from mq.standalone import Standalone
from mq.testing import standalone

#: What somebody after a way in would set: of every key RocketMQ has, and of ours.
ROCKETMQ_KEYS = [
    line
    for line in (Path(__file__).parent / "rocketmq_keys.txt").read_text().splitlines()
    if not line.startswith(("#", "["))
]
OUR_KEYS = [*properties_file.keys_of(BrokerConfig), *properties_file.keys_of(NameServerConfig)]


@pytest.fixture
async def mq(tmp_path: Path) -> AsyncIterator[Standalone]:
    async with standalone(tmp_path / "store") as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[RemotingClient]:
    made = RemotingClient()
    yield made
    await made.close()


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


class TestBroker:
    async def test_refuses_every_key_of_rocketmq_that_is_not_on_the_list(self, mq, client):
        before = mq.broker.config
        codes = {}
        for key in {*ROCKETMQ_KEYS, *OUR_KEYS, "rocketmqHome", "configBlackList"} - set(runtime_config.CHANGEABLE):
            body = f"{key}=/tmp/x;id\n".encode()
            response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))
            codes[key] = response.code

        assert len(codes) > 400
        assert {key: code for key, code in codes.items() if code != 16} == {}
        assert mq.broker.config is before

    async def test_refuses_what_is_no_value_of_a_key_on_the_list(self, mq, client):
        before = mq.broker.config
        for key in runtime_config.CHANGEABLE:
            for value in ("/tmp/x;id", "-1", "", "99999999999999999999999", "1e9", "True\\u000a", "٣", "${jndi:x}"):
                body = f"{key}={value}\n".encode()
                response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))
                assert (response.code, key in response.remark) == (29, True), (key, value)

        assert mq.broker.config == before

    async def test_changes_all_or_nothing(self, mq, client):
        body = b"autoCreateTopicEnable=false\nrocketmqHome=/tmp\n"
        response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))

        assert (response.code, "rocketmqHome" in response.remark) == (16, True)
        assert mq.broker.config.auto_create_topic

    async def test_changes_a_running_broker_and_says_who_did(self, mq, client, caplog):
        body = b"autoCreateTopicEnable=false\nmaxMessageSize=2048\nfileReservedTime=5\ndeleteWhen=02;14\n"
        response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))
        assert response.code == 0

        fields = {"a": "g", "b": "New", "c": "TBW102", "d": "4", "e": "0", "f": "0", "g": "1", "h": "0"}
        new_topic = await client.invoke(mq.broker_address, RemotingCommand.request(310, fields, b"x"))
        too_long = RemotingCommand.request(310, fields | {"b": "BenchmarkTest"}, bytes(2049))
        assert new_topic.code == 17
        assert (await client.invoke(mq.broker_address, too_long)).code == 13
        assert (mq.broker.store.config.retention_hours, mq.broker.store.config.delete_hours) == (5, (2, 14))
        assert "somebody at 127.0.0.1:" in caplog.text
        assert "changed autoCreateTopicEnable from true to false" in caplog.text

    async def test_every_key_on_the_list_can_be_changed(self, mq, client):
        values = {"brokerPermission": "4", "deleteWhen": "05", "maxTransferCountOnMessageInMemory": "7"}
        for key, (_, wanted) in properties_file.keys_of(BrokerConfig).items():
            if key in runtime_config.CHANGEABLE:
                default = {bool: "false", int: "30000" if "Ratio" not in key else "50"}.get(wanted, "")
                value = values.get(key, "900" if key == "transactionCheckMax" else default)
                body = f"{key}={value}".encode()
                response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))
                assert (response.code, key) == (0, key), response.remark
                assert properties_file.dump(mq.broker.config)[key] == value

    async def test_a_change_of_its_permission_reaches_the_routes(self, mq, client):
        await client.invoke(mq.broker_address, RemotingCommand.request(25, None, b"brokerPermission=4"))
        await mq.broker.name_servers.register_now()
        route = await client.invoke(mq.namesrv, RemotingCommand.request(105, {"topic": "BenchmarkTest"}))
        assert b'"perm":4' in route.body

    async def test_a_request_writes_one_file_whose_place_it_cannot_choose(self, mq, client, tmp_path):
        before = files_below(tmp_path)
        await client.invoke(mq.broker_address, RemotingCommand.request(25, None, b"maxMessageSize=4096"))

        expected = tmp_path / "store" / "config" / "brokerChanges.properties"
        assert files_below(tmp_path) - before == {expected}
        assert expected.read_text().endswith("maxMessageSize=4096\n")

    @pytest.mark.parametrize("body", [b"\xff\xfe=1", b"a" * (MAX_REQUEST_BYTES + 1)], ids=["no text", "too long"])
    async def test_refuses_a_body_that_is_no_list_of_settings(self, mq, client, body):
        response = await client.invoke(mq.broker_address, RemotingCommand.request(25, None, body))
        assert response.code == 29

    def test_the_list_holds_no_path_and_no_promise(self):
        kinds = {key: wanted for key, (_, wanted) in properties_file.keys_of(BrokerConfig).items()}
        listed = {key: kinds[key] for key in runtime_config.CHANGEABLE}

        assert {key for key, kind in listed.items() if kind not in (int, bool)} == {"deleteWhen"}
        assert not {"flushDiskType", "listenPort", "brokerId", "aclEnable", "tls.enable"} & set(listed)


class TestNameServer:
    async def test_refuses_every_key_that_is_not_on_the_list(self, mq, client):
        keys = {*ROCKETMQ_KEYS, *OUR_KEYS, "rocketmqHome", "configBlackList"} - set(namesrv_runtime_config.CHANGEABLE)
        codes = set()
        for key in keys:
            body = f"{key}=/tmp/x\n".encode()
            codes.add((await client.invoke(mq.namesrv, RemotingCommand.request(318, None, body))).code)

        assert codes == {16}

    async def test_changes_and_shows_its_settings(self, mq, client, tmp_path):
        body = b"orderMessageEnable=true\nscanNotActiveBrokerInterval=7000\n"
        assert (await client.invoke(mq.namesrv, RemotingCommand.request(318, None, body))).code == 0

        shown = (await client.invoke(mq.namesrv, RemotingCommand.request(319))).body.decode()
        assert {"orderMessageEnable=true", "scanNotActiveBrokerInterval=7000"} <= set(shown.splitlines())
        assert (tmp_path / "store" / "namesrv" / "namesrvChanges.properties").exists()

    async def test_a_kv_value_is_data_and_never_a_path(self, mq, client, tmp_path):
        before = files_below(tmp_path)
        for name in ("../../evil", "/tmp/evil", "a\x00b", "%2e%2e/evil"):
            fields = {"namespace": name, "key": name, "value": name}
            assert (await client.invoke(mq.namesrv, RemotingCommand.request(100, fields))).code == 0
            got = await client.invoke(mq.namesrv, RemotingCommand.request(101, fields))
            assert got.ext_fields == {"value": name}

        assert {path.name for path in files_below(tmp_path) - before} <= {"kvConfig.json", "kvConfig.json.bak"}


class TestFile:
    def settings(self, path: Path) -> RuntimeSettings:
        return RuntimeSettings({"maxMessageSize": between(1, 100), "traceOn": FLAG}, path)

    def test_keeps_changes_over_a_restart(self, tmp_path):
        path = tmp_path / "config" / "changes.properties"
        self.settings(path).change(BrokerConfig(), b"maxMessageSize=7", "me")
        changed = self.settings(path).change(BrokerConfig(), b"traceOn=false", "me")

        assert not changed.trace_on
        assert self.settings(path).load() == {"maxMessageSize": "7", "traceOn": "false"}

    def test_is_held_to_the_list_when_it_is_read(self, tmp_path, caplog):
        path = tmp_path / "changes.properties"
        path.write_text("maxMessageSize=101\nstorePathRootDir=/tmp\ntraceOn=false\n")

        assert self.settings(path).load() == {"traceOn": "false"}
        assert "storePathRootDir" in caplog.text

    def test_a_change_that_cannot_be_kept_is_not_made(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(FileExistsError):
            self.settings(tmp_path / "file" / "changes.properties").change(BrokerConfig(), b"traceOn=false", "me")

    def test_names_what_may_change(self, tmp_path):
        with pytest.raises(ResponseError, match="maxMessageSize") as error:
            self.settings(tmp_path / "x").change(BrokerConfig(), b"brokerName=b", "me")
        assert error.value.code == 16
