"""Everything a broker can be told, under RocketMQ's own keys.

Each field's annotation carries its key, so that a properties file written for Apache RocketMQ works here. Where our
default differs from RocketMQ's, a comment says why. Ours alone: `vipChannelEnable`, `clockOffsetFile`.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mq.clock import Clock, OffsetFileClock, SystemClock
from mq.message import Host
from mq.properties_file import ConfigError
from mq.security.config import SecurityConfig
from mq.store.config import FlushMode, StoreConfig

DELAY_LEVELS = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_delay_levels(text: str) -> tuple[int, ...]:
    """The delays of levels 1, 2, ... in milliseconds; `messageDelayLevel` of RocketMQ, such as `1s 5s 1m 2h`.

    Raises: ConfigError: a word that is not a positive number with one of the units s, m, h, d.
    """
    delays = []
    for word in text.split():
        if word[-1:] not in _UNIT_MS or not word[:-1].isdecimal() or int(word[:-1]) == 0:
            raise ConfigError(f"{word!r} in messageDelayLevel is no delay such as 10s, 5m or 2h")
        delays.append(int(word[:-1]) * _UNIT_MS[word[-1]])
    if not delays:
        raise ConfigError("messageDelayLevel names no delay, such as 1s 5s 10s")
    return tuple(delays)


def parse_hours(text: str) -> tuple[int, ...]:
    """The hours of `deleteWhen`, such as `04` or `02;14`.

    Raises: ConfigError: something that is no hour of the day.
    """
    words = [word.strip() for word in text.split(";") if word.strip()]
    if not all(word.isascii() and word.isdecimal() and int(word) < 24 for word in words):
        raise ConfigError(f"deleteWhen={text}: hours of the day are expected, such as 04 or 02;14")
    return tuple(map(int, words))


@dataclass(frozen=True)
class BrokerConfig(SecurityConfig):
    # Who and where
    cluster_name: Annotated[str, "brokerClusterName"] = "DefaultCluster"
    broker_name: Annotated[str, "brokerName"] = socket.gethostname() or "DEFAULT_BROKER"
    broker_id: Annotated[int, "brokerId"] = 0
    broker_role: Annotated[str, "brokerRole"] = "ASYNC_MASTER"
    name_server_addresses: Annotated[str, "namesrvAddr"] = ""
    #: What clients are told to connect to; it also lies in every record and message id.
    advertised_address: Annotated[str, "brokerIP1"] = "127.0.0.1"
    listen_port: Annotated[int, "listenPort"] = 10911
    #: Also listen on `listenPort - 2`, where old Java clients and the dashboard send nearly everything.
    vip_channel: Annotated[bool, "vipChannelEnable"] = True
    register_interval_ms: Annotated[int, "registerNameServerPeriod"] = 30_000
    permission: Annotated[int, "brokerPermission"] = 6

    # Store
    store_root: Annotated[Path, "storePathRootDir"] = Path("~/store")
    commit_log_root: Annotated[Path | None, "storePathCommitLog"] = None
    commit_log_file_bytes: Annotated[int, "mappedFileSizeCommitLog"] = 1 << 30
    consume_queue_file_bytes: Annotated[int, "mappedFileSizeConsumeQueue"] = 6_000_000
    index_slot_count: Annotated[int, "maxHashSlotNum"] = 5_000_000
    index_entry_count: Annotated[int, "maxIndexNum"] = 20_000_000
    key_index: Annotated[bool, "messageIndexEnable"] = True
    # An acknowledged message is on disk: the promise of this broker. RocketMQ's default is ASYNC_FLUSH.
    flush: Annotated[FlushMode, "flushDiskType"] = FlushMode.SYNC
    async_flush_interval_ms: Annotated[int, "flushIntervalCommitLog"] = 500
    max_message_bytes: Annotated[int, "maxMessageSize"] = 4 << 20
    #: While a send waits for longer than this to get to disk, further ones are refused with SYSTEM_BUSY.
    wait_time_ms_in_send_queue: Annotated[int, "waitTimeMillsInSendQueue"] = 200
    retention_hours: Annotated[int, "fileReservedTime"] = 72
    delete_when: Annotated[str, "deleteWhen"] = "04"
    disk_max_used_percent: Annotated[int, "diskMaxUsedSpaceRatio"] = 75
    disk_force_clean_percent: Annotated[int, "diskSpaceCleanForciblyRatio"] = 85
    disk_full_percent: Annotated[int, "diskSpaceWarningLevelRatio"] = 90
    consumer_offset_flush_interval_ms: Annotated[int, "flushConsumerOffsetInterval"] = 5000
    delay_offset_flush_interval_ms: Annotated[int, "flushDelayOffsetInterval"] = 10_000

    # Topics and groups
    auto_create_topic: Annotated[bool, "autoCreateTopicEnable"] = True
    auto_create_group: Annotated[bool, "autoCreateSubscriptionGroup"] = True
    default_topic_queue_count: Annotated[int, "defaultTopicQueueNums"] = 8
    trace_topic: Annotated[bool, "traceTopicEnable"] = False
    trace_topic_name: Annotated[str, "msgTraceTopicName"] = "RMQ_SYS_TRACE_TOPIC"
    region_id: Annotated[str, "regionId"] = "DefaultRegion"
    trace_on: Annotated[bool, "traceOn"] = True

    # Pull
    long_polling: Annotated[bool, "longPollingEnable"] = True
    short_polling_ms: Annotated[int, "shortPollingTimeMills"] = 1000
    max_pull_count: Annotated[int, "maxTransferCountOnMessageInMemory"] = 32
    max_pull_bytes: Annotated[int, "maxTransferBytesOnMessageInMemory"] = 262_144

    #: Keep resets of offsets and have pulls follow them; else tell consumers to move (code 220), as before 5.0.
    server_side_reset: Annotated[bool, "useServerSideResetOffset"] = True
    # A subscription by expression is served rather than refused. RocketMQ's default is false.
    property_filter: Annotated[bool, "enablePropertyFilter"] = True

    # POP
    #: Name the topic of a group's retries `%RETRY%group+topic` in place of `%RETRY%group_topic`; both are read.
    retry_topic_v2: Annotated[bool, "enableRetryTopicV2"] = False

    # Delays and timers
    delay_levels: Annotated[str, "messageDelayLevel"] = DELAY_LEVELS
    timer_wheel_enable: Annotated[bool, "timerWheelEnable"] = True
    timer_max_delay_sec: Annotated[int, "timerMaxDelaySec"] = 259_200
    timer_precision_ms: Annotated[int, "timerPrecisionMs"] = 1000
    timer_roll_window_slots: Annotated[int, "timerRollWindowSlot"] = 172_800
    timer_log_file_bytes: Annotated[int, "mappedFileSizeTimerLog"] = 100 << 20

    #: Let producers take timers back by their handles (code 370).
    recall_enable: Annotated[bool, "recallMessageEnable"] = False

    # Transactions
    reject_transactions: Annotated[bool, "rejectTransactionMessage"] = False
    transaction_timeout_ms: Annotated[int, "transactionTimeOut"] = 6000
    transaction_check_interval_ms: Annotated[int, "transactionCheckInterval"] = 30_000
    transaction_check_max: Annotated[int, "transactionCheckMax"] = 15

    #: For demo and tests: a file whose offset moves the broker's clock (`mq.clock.OffsetFileClock`).
    clock_offset_file: Annotated[Path | None, "clockOffsetFile"] = None

    def __post_init__(self) -> None:
        """Raises: ConfigError: what only a broker that is misunderstood would do."""
        super().__post_init__()
        parse_delay_levels(self.delay_levels)
        parse_hours(self.delete_when)
        if self.broker_role == "SLAVE":
            raise ConfigError("brokerRole=SLAVE: this broker has no replicas; use ASYNC_MASTER")
        if self.broker_id < 0 or not 0 <= self.listen_port <= 65_535:
            raise ConfigError(f"brokerId={self.broker_id} or listenPort={self.listen_port} is out of range")
        if self.advertised_address in ("", "0.0.0.0", "::"):
            raise ConfigError(f"brokerIP1={self.advertised_address}: clients connect to it, so it must be an address")

    @property
    def delay_levels_ms(self) -> tuple[int, ...]:
        return parse_delay_levels(self.delay_levels)

    @property
    def accounts_path(self) -> Path:
        return (self.acl_file or self.store_root / "config" / "plain_acl.yml").expanduser()

    def clock(self) -> Clock:
        """Raises: ConfigError: the file that moves it is damaged."""
        try:
            return OffsetFileClock(self.clock_offset_file) if self.clock_offset_file else SystemClock()
        except ValueError as error:
            raise ConfigError(f"clockOffsetFile: {error}") from error

    def store_config(self, store_host: Host) -> StoreConfig:
        return StoreConfig(
            root=self.store_root.expanduser(),
            commit_log_root=self.commit_log_root.expanduser() if self.commit_log_root else None,
            commit_log_file_bytes=self.commit_log_file_bytes,
            consume_queue_file_bytes=self.consume_queue_file_bytes,
            index_slot_count=self.index_slot_count,
            index_entry_count=self.index_entry_count,
            flush=self.flush,
            async_flush_interval_ms=self.async_flush_interval_ms,
            max_message_bytes=self.max_message_bytes,
            store_host=store_host,
            delay_levels_ms=self.delay_levels_ms,
            key_index=self.key_index,
            retention_hours=self.retention_hours,
            delete_hours=parse_hours(self.delete_when),
            disk_max_used_percent=self.disk_max_used_percent,
            disk_force_clean_percent=self.disk_force_clean_percent,
            disk_full_percent=self.disk_full_percent,
        )
