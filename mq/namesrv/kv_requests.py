"""What administrators ask of the notes (`kv_config.py`): codes 100 to 102 and 219. Source: DefaultRequestProcessor."""

from __future__ import annotations

from mq.errors import ResponseError
from mq.namesrv.kv_config import KVConfig
from mq.remoting.bodies import KVTable
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    GetKVConfigResponseHeader,
    GetKVListByNamespaceRequestHeader,
    KVConfigRequestHeader,
    PutKVConfigRequestHeader,
)


class KVConfigProcessor:
    def __init__(self, kv_config: KVConfig) -> None:
        self._kv_config = kv_config

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.PUT_KV_CONFIG: self._put,
            RequestCode.GET_KV_CONFIG: self._get,
            RequestCode.DELETE_KV_CONFIG: self._delete,
            RequestCode.GET_KVLIST_BY_NAMESPACE: self._list,
        }

    def _put(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(PutKVConfigRequestHeader)
        self._kv_config.put(header.namespace, header.key, header.value)
        return command.respond()

    def _get(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(KVConfigRequestHeader)
        value = self._kv_config.get(header.namespace, header.key)
        if value is None:
            raise ResponseError(
                ResponseCode.QUERY_NOT_FOUND,
                f"No config item, Namespace: {header.namespace} Key: {header.key}",
            )
        return command.respond(ext=GetKVConfigResponseHeader(value))

    def _delete(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(KVConfigRequestHeader)
        self._kv_config.delete(header.namespace, header.key)
        return command.respond()

    def _list(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        namespace = command.header(GetKVListByNamespaceRequestHeader).namespace
        entries = self._kv_config.namespace(namespace)
        if entries is None:
            raise ResponseError(ResponseCode.QUERY_NOT_FOUND, f"No config item, Namespace: {namespace}")
        return command.respond(body=KVTable(entries).to_json())
