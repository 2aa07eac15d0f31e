"""Requests for parts of RocketMQ that do not exist here: refused with code 3 and a sentence that says why.

Brokers and name servers refuse any other unknown code as well (`connection.py`), but without a reason.
Source: RocketMQ RequestCode.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mq.remoting.codes import ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler

_CONTROLLER: Final = "this broker is a single master without a controller (DLedger)"
_REPLICAS: Final = "this broker has no replicas"
_ROCKSDB: Final = "this store keeps its queues in files, not in RocksDB"
_STATIC: Final = "there are no static topics here: create an ordinary one (updateTopic)"
_COLD: Final = "cold data is not held back here, and the log is read one way only"
_FILTER_SERVER: Final = "there are no filter servers: subscribe with tags or an SQL92 expression"
_OLD_ACL: Final = "accounts of ACL 1.0 are kept in a file here, not changed by requests"
_ACCOUNTS: Final = "accounts are kept in a file here (aclFile, plain_acl.yml), not changed by requests"

SENTENCES: Final[dict[int, str]] = {
    **dict.fromkeys(range(1001, 1019), _CONTROLLER),
    **dict.fromkeys((902, 903, 905, 908), _REPLICAS),
    **dict.fromkeys(range(2001, 2005), _COLD),
    **dict.fromkeys((301, 302), _FILTER_SERVER),
    **dict.fromkeys(range(50, 55), _OLD_ACL),
    **dict.fromkeys(range(3001, 3011), _ACCOUNTS),
    354: _ROCKSDB,
    513: _STATIC,
}


def handlers(codes: Iterable[int] = SENTENCES) -> dict[int, Handler]:
    return dict.fromkeys(codes, _refuse)


def _refuse(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    return command.respond(
        ResponseCode.REQUEST_CODE_NOT_SUPPORTED,
        f"request code {command.code} is not supported: {SENTENCES[command.code]}",
    )
