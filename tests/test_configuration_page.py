"""docs/configuration.md lists every key as the code has it: honoured, without effect, or refused."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any, Final

import pytest

from mq import properties_file
from mq.broker import foreign_keys, runtime_config
from mq.broker.config import BrokerConfig
from mq.namesrv import runtime_config as namesrv_runtime_config
from mq.namesrv.config import NameServerConfig
from mq.security.runtime_settings import Check

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
#: The keys that people know from RocketMQ's documentation and files: each must be found on the page.
WELL_KNOWN: Final = re.findall(
    r"\w+",
    """
    brokerClusterName brokerName brokerId brokerRole namesrvAddr listenPort brokerIP1 brokerIP2 bindAddress
    haListenPort storePathRootDir storePathCommitLog flushDiskType mappedFileSizeCommitLog
    mappedFileSizeConsumeQueue mappedFileSizeTimerLog maxHashSlotNum maxIndexNum maxMessageSize
    messageIndexEnable deleteWhen fileReservedTime diskMaxUsedSpaceRatio cleanFileForciblyEnable
    deleteFileBatchMax destroyMapedFileIntervalForcibly flushIntervalCommitLog flushCommitLogLeastPages
    flushCommitLogThoroughInterval syncFlushTimeout transientStorePoolEnable transientStorePoolSize
    warmMapedFileEnable slaveTimeout inSyncReplicas totalReplicas haSendHeartbeatInterval haHousekeepingInterval
    haTransferBatchSize haMaxGapNotInSync accessMessageInMemoryMaxRatio slaveReadEnable
    maxTransferBytesOnMessageInMemory maxTransferCountOnMessageInMemory maxTransferBytesOnMessageInDisk
    maxTransferCountOnMessageInDisk autoCreateTopicEnable autoCreateSubscriptionGroup defaultTopicQueueNums
    brokerPermission messageDelayLevel flushDelayOffsetInterval timerWheelEnable timerMaxDelaySec
    timerPrecisionMs timerRollWindowSlot transactionTimeOut transactionCheckInterval transactionCheckMax
    rejectTransactionMessage flushConsumerOffsetInterval longPollingEnable waitTimeMillsInSendQueue
    brokerFastFailureEnable sendMessageThreadPoolNums pullMessageThreadPoolNums registerNameServerPeriod
    brokerHeartbeatInterval enableConsumeQueueExt traceTopicEnable msgTraceTopicName aclEnable
    authenticationEnabled authorizationEnabled migrateAuthFromV1Enabled enableDLegerCommitLog
    enableControllerMode controllerAddr storeType configManagerVersion checkCRCOnRecover enabledAppendPropCRC
    forceVerifyPropCRC useReentrantLockWhenPutMessage osPageCacheBusyTimeOutMills
    """,
)


def honoured(config: Any, changeable: dict[str, Check]) -> list[str]:
    lines = []
    for key, value in properties_file.dump(config).items():
        shown = "the host's name" if value == socket.gethostname() and key == "brokerName" else f"`{value}`"
        at_run_time = changeable[key].allowed if key in changeable else "-"
        lines.append(f"| `{key}` | {shown if value else 'none'} | {at_run_time} |")
    return lines


def tables() -> dict[str, list[str]]:
    return {
        "Keys of the broker": honoured(BrokerConfig(), runtime_config.CHANGEABLE),
        "Keys of the name server": honoured(NameServerConfig(), namesrv_runtime_config.CHANGEABLE),
        "Keys without effect": [f"| `{key}` | {reason} |" for key, reason in foreign_keys.NO_EFFECT.items()],
        "Keys that refuse the start": [
            f"| `{key}` | `{refusal.accepted}` | {refusal.reason} |" for key, refusal in foreign_keys.REFUSED.items()
        ],
    }


@pytest.mark.parametrize("heading", tables())
def test_a_table_is_what_the_code_says(heading: str):
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `.*$", section, re.MULTILINE) == tables()[heading]


@pytest.mark.parametrize("key", WELL_KNOWN)
def test_says_what_becomes_of_a_key_that_people_know(key: str):
    assert f"| `{key}` |" in PAGE.read_text()
