import pytest

from mq.broker.config import BrokerConfig, parse_delay_levels
from mq.message import Host
from mq.properties_file import ConfigError, build
from mq.store.config import DELAY_LEVELS_MS, FlushMode


class TestBrokerConfig:
    def test_syncs_every_message_unless_told_otherwise(self):
        assert BrokerConfig().flush is FlushMode.SYNC

    def test_listens_to_this_machine_only(self):
        assert BrokerConfig().bind_address == "127.0.0.1"

    def test_hands_the_store_its_part(self, tmp_path):
        config = BrokerConfig(store_root=tmp_path, commit_log_file_bytes=4096, delete_when="02;14")

        store = config.store_config(Host("127.0.0.1", 10911))

        assert (store.root, store.commit_log_file_bytes, store.delete_hours) == (tmp_path, 4096, (2, 14))

    def test_reads_rocketmqs_keys(self):
        config, warnings = build(
            BrokerConfig,
            {
                "brokerName": "broker-b",
                "flushDiskType": "ASYNC_FLUSH",
                "storePathRootDir": "/data/store",
                "autoCreateTopicEnable": "false",
                "mappedFileSizeCommitLog": "67108864",
            },
        )

        assert warnings == []
        assert (config.broker_name, config.flush) == ("broker-b", FlushMode.ASYNC)
        assert (str(config.store_root), config.auto_create_topic) == ("/data/store", False)
        assert config.commit_log_file_bytes == 64 << 20

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("messageDelayLevel", "soon"),
            ("deleteWhen", "noon"),
            ("deleteWhen", "24"),
            ("brokerRole", "SLAVE"),
            ("listenPort", "70000"),
            ("brokerIP1", "0.0.0.0"),
        ],
    )
    def test_names_the_key_it_cannot_use(self, key, value):
        with pytest.raises(ConfigError, match=key):
            build(BrokerConfig, {key: value})

    def test_refuses_a_damaged_file_that_moves_the_clock(self, tmp_path):
        (tmp_path / "offset").touch()

        with pytest.raises(ConfigError, match=r"clockOffsetFile: .*offset is damaged"):
            BrokerConfig(clock_offset_file=tmp_path / "offset").clock()


class TestParseDelayLevels:
    def test_reads_rocketmqs_default(self):
        assert BrokerConfig().delay_levels_ms == DELAY_LEVELS_MS

    @pytest.mark.parametrize("text", ["", "5", "1x", "-1s", "0s", "1s,5s"])
    def test_refuses_what_is_no_delay(self, text):
        with pytest.raises(ConfigError, match="messageDelayLevel"):
            parse_delay_levels(text)
