"""Keys of RocketMQ's broker that mean nothing here: why, and which values cannot be passed over.

Who brings a file from RocketMQ is told what is done with every line of it: it is honoured (`config.py`), it has no
effect and why (`NO_EFFECT`), the start is refused because silence would be a lie (`REFUSED`), or nobody knows the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from mq.properties_file import ConfigError

_NO_REPLICAS = "this broker has no replicas"
_ONE_LOOP = "one event loop serves everything, there are no thread pools"
_ALWAYS = "always done"
_FLUSH = "a group of messages is flushed as soon as the one before it is"

#: Whatever their value.
NO_EFFECT: Final[Mapping[str, str]] = {
    "brokerIP2": _NO_REPLICAS,
    "haListenPort": _NO_REPLICAS,
    "slaveTimeout": _NO_REPLICAS,
    "haSendHeartbeatInterval": _NO_REPLICAS,
    "haHousekeepingInterval": _NO_REPLICAS,
    "haTransferBatchSize": _NO_REPLICAS,
    "haMaxGapNotInSync": _NO_REPLICAS,
    "slaveReadEnable": _NO_REPLICAS,
    "controllerAddr": "there is no controller",
    "sendMessageThreadPoolNums": _ONE_LOOP,
    "pullMessageThreadPoolNums": _ONE_LOOP,
    "useReentrantLockWhenPutMessage": _ONE_LOOP,
    "brokerFastFailureEnable": "always on; waitTimeMillsInSendQueue says when",
    "osPageCacheBusyTimeOutMills": "sends wait for the disk only; nothing queues in front of it",
    "brokerHeartbeatInterval": "name servers hear of the broker by its registrations",
    "deleteFileBatchMax": "ten files at a time",
    "destroyMapedFileIntervalForcibly": "a file that is read goes when its reader is done",
    "flushCommitLogLeastPages": _FLUSH,
    "flushCommitLogThoroughInterval": _FLUSH,
    "syncFlushTimeout": "a message that is not on disk is not acknowledged, however long that takes",
    "transientStorePoolEnable": "messages are never kept in memory alone",
    "transientStorePoolSize": "messages are never kept in memory alone",
    "warmMapedFileEnable": "space ahead is written with zeros in the background",
    "accessMessageInMemoryMaxRatio": "the operating system knows what is in memory",
    "maxTransferBytesOnMessageInDisk": "maxTransferBytesOnMessageInMemory is the limit wherever a message lies",
    "maxTransferCountOnMessageInDisk": "maxTransferCountOnMessageInMemory is the limit wherever a message lies",
    "checkCRCOnRecover": _ALWAYS,
}


class Refusal(NamedTuple):
    """The one value that says nothing else than what happens here, and what to say to others."""

    accepted: str
    reason: str


_ACCOUNTS = "use aclEnable=true and aclFile (plain_acl.yml) for accounts"
REFUSED: Final[Mapping[str, Refusal]] = {
    "inSyncReplicas": Refusal("1", f"{_NO_REPLICAS}, so no message can be on two machines"),
    "totalReplicas": Refusal("1", f"{_NO_REPLICAS}, so no message can be on two machines"),
    "enableDLegerCommitLog": Refusal("false", f"{_NO_REPLICAS} and does not read DLedger's log"),
    "enableControllerMode": Refusal("false", f"{_NO_REPLICAS} and no controller"),
    "storeType": Refusal("default", "indexes in RocksDB are not read; export the store with storeType=default"),
    "configManagerVersion": Refusal("v1", "settings in RocksDB are not read; keep the JSON files"),
    "enableConsumeQueueExt": Refusal("false", "filter bits are not kept; filters look at the message itself"),
    "enabledAppendPropCRC": Refusal("false", "records are written with a checksum of the body only"),
    "forceVerifyPropCRC": Refusal("false", "records are written with a checksum of the body only"),
    "cleanFileForciblyEnable": Refusal(
        "true", "to keep the oldest files on a full disk, set diskSpaceCleanForciblyRatio=100"
    ),
    "authenticationEnabled": Refusal("false", _ACCOUNTS),
    "authorizationEnabled": Refusal("false", _ACCOUNTS),
    "migrateAuthFromV1Enabled": Refusal("false", _ACCOUNTS),
    "tls.test.mode.enable": Refusal("false", "the broker makes no certificates: set tls.server.certPath and keyPath"),
    "tls.config.file": Refusal("", "write the keys of tls.properties into this file"),
}


def sift(values: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The settings without these keys, and a remark for each that has no effect.

    Raises: ConfigError: one that cannot be passed over.
    """
    for key, (accepted, reason) in REFUSED.items():
        if values.get(key, accepted).strip().lower() != accepted.lower():
            raise ConfigError(f"{key}={values[key]}: {reason}")
    kept = {key: value for key, value in values.items() if key not in NO_EFFECT and key not in REFUSED}
    return kept, [f"{key} has no effect: {NO_EFFECT[key]}" for key in values if key in NO_EFFECT]
