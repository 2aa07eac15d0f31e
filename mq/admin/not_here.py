"""Commands of mqadmin that this tool does not have, and why."""

from __future__ import annotations

from typing import Final

_CONTROLLER: Final = (
    "brokers here are single masters without a controller (DLedger); ask that cluster with its own mqadmin"
)
_STATIC: Final = "there are no static topics here: make an ordinary one with updateTopic"
_ROCKSDB: Final = "the store keeps its queues in files, not in RocksDB"
_COLD: Final = "cold data is not held back here, and the log is read one way only"
_POP_RECORD: Final = (
    "POP keeps its records in a topic here (rmq_sys_REVIVE_LOG_...): there is no other store to export from"
)
_COMPACTION: Final = "there are no compaction topics here"
_CONTAINER: Final = "there is no broker container here: start another broker with python -m mq broker"
_ACCOUNTS: Final = (
    "accounts stand in a file here (plain_acl.yml), which is read again when it changes; "
    "ask an Apache RocketMQ with its own mqadmin"
)

SENTENCES: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            *("getSyncStateSet", "getBrokerEpoch", "getControllerMetaData", "getControllerConfig"),
            *("updateControllerConfig", "electMaster", "cleanBrokerMetadata", "resetMasterFlushOffset"),
        ),
        _CONTROLLER,
    ),
    **dict.fromkeys(("updateStaticTopic", "remappingStaticTopic"), _STATIC),
    **dict.fromkeys(("rocksDBConfigToJson", "exportMetadataInRocksDB", "checkRocksdbCqWriteProgress"), _ROCKSDB),
    **dict.fromkeys(
        (
            *("getColdDataFlowCtrInfo", "updateColdDataFlowCtrGroupConfig"),
            *("removeColdDataFlowCtrGroupConfig", "setCommitLogReadAheadMode"),
        ),
        _COLD,
    ),
    "exportPopRecord": _POP_RECORD,
    **dict.fromkeys(("addBroker", "removeBroker"), _CONTAINER),
    "dumpCompactionLog": _COMPACTION,
    **dict.fromkeys(
        (
            *("createUser", "updateUser", "deleteUser", "getUser", "listUser", "copyUser"),
            *("createAcl", "updateAcl", "deleteAcl", "getAcl", "listAcl", "copyAcl"),
        ),
        _ACCOUNTS,
    ),
}
