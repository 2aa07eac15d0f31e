"""RocketMQ's properties files, read as Java reads them, into our typed configs."""

from __future__ import annotations

from pathlib import Path

import pytest

from mq import properties_file
from mq.broker.config import BrokerConfig
from mq.namesrv.config import NameServerConfig
from mq.properties_file import ConfigError
from mq.store.config import FlushMode

#: What Apache RocketMQ ships as conf/broker.conf.
SHIPPED = """\
brokerClusterName = DefaultCluster
brokerName = broker-a
brokerId = 0
deleteWhen = 04
fileReservedTime = 48
brokerRole = ASYNC_MASTER
flushDiskType = ASYNC_FLUSH
"""


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("key=value", {"key": "value"}),
            ("key = value ", {"key": "value"}),
            ("  key:value", {"key": "value"}),
            ("key value with blanks", {"key": "value with blanks"}),
            ("key==value", {"key": "=value"}),
            ("key", {"key": ""}),
            ("key=", {"key": ""}),
            ("# comment\n! another\n\nkey=value # no comment here", {"key": "value # no comment here"}),
            ("key=one, \\\n    two, \\\n    three", {"key": "one, two, three"}),
            ("key=ends with a backslash\\\\\nother=1", {"key": "ends with a backslash\\", "other": "1"}),
            ("key=1\r\nkey=2\r\n", {"key": "2"}),
            ("path=C:\\\\store\\ttab", {"path": "C:\\store\ttab"}),
            (r"name=\u4e2d\u6587", {"name": "中文"}),
            (r"a\ b\:c=1", {"a b:c": "1"}),
            ("last=line\\", {"last": "line"}),
            ("", {}),
        ],
    )
    def test_reads_what_java_reads(self, text, expected):
        assert properties_file.parse(text) == expected

    def test_a_file_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(ConfigError, match="missing"):
            properties_file.load(tmp_path / "missing.conf")

    def test_a_file_of_bytes_is_refused(self, tmp_path):
        (tmp_path / "broker.conf").write_bytes(b"key=\xff\xfe")

        with pytest.raises(ConfigError, match="UTF-8"):
            properties_file.load(tmp_path / "broker.conf")


class TestBuild:
    def test_takes_the_file_that_rocketmq_ships(self, tmp_path):
        (tmp_path / "broker.conf").write_text(SHIPPED)

        config, warnings = properties_file.build(BrokerConfig, properties_file.load(tmp_path / "broker.conf"))

        assert (config.broker_name, config.broker_id, config.retention_hours) == ("broker-a", 0, 48)
        assert config.flush is FlushMode.ASYNC
        assert warnings == []

    def test_leaves_what_is_not_named_at_its_default(self):
        config, _ = properties_file.build(NameServerConfig, {"listenPort": "19876"})

        assert config == NameServerConfig(listen_port=19876)

    def test_types_every_field_by_its_annotation(self):
        values = {"storePathRootDir": "/data", "storePathCommitLog": "", "autoCreateTopicEnable": "FALSE"}

        config, _ = properties_file.build(BrokerConfig, values)

        assert (config.store_root, config.commit_log_root, config.auto_create_topic) == (Path("/data"), None, False)

    def test_warns_of_unknown_keys_and_guesses_what_was_meant(self):
        _, warnings = properties_file.build(BrokerConfig, {"flushDiskTyp": "SYNC_FLUSH", "zzz": "1"})

        assert "flushDiskTyp is ignored; did you mean flushDiskType?" in warnings[0]
        assert warnings[1].endswith("zzz is ignored")

    @pytest.mark.parametrize(
        ("key", "value", "expectation"),
        [
            ("listenPort", "high", "a whole number"),
            ("autoCreateTopicEnable", "yes", "true or false"),
            ("flushDiskType", "NEVER", "SYNC_FLUSH or ASYNC_FLUSH"),
        ],
    )
    def test_refuses_a_value_of_the_wrong_type_and_names_all_three(self, key, value, expectation):
        with pytest.raises(ConfigError, match=f"{key}={value}: {expectation} is expected"):
            properties_file.build(BrokerConfig, {key: value})
