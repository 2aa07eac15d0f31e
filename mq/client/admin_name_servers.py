"""What an administrator asks of the name servers. They do not talk to each other, so changes go to every one.

`Admin.name_servers` is one of these; every method raises ResponseError, ConnectionLost and RequestTimeout.
Source: RocketMQ MQClientAPIImpl.java; remoting sheet 2.5.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mq.client.admin_calls import read_properties, write_properties
from mq.client.instance import Client
from mq.errors import ResponseError
from mq.remoting import headers
from mq.remoting.bodies import TopicList, TopicRouteData
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand

#: Where the order of ordered topics is noted: `broker-a:4;broker-b:4` by topic.
ORDER_TOPIC_CONFIG: Final = "ORDER_TOPIC_CONFIG"


class AdminNameServers:
    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def addresses(self) -> tuple[str, ...]:
        return self._client.name_server_addresses

    async def route(self, topic: str) -> TopicRouteData | None:
        """As it is there; None when there is no such topic."""
        return await self._client.name_servers.route(topic)

    async def topics(self) -> list[str]:
        answer = await self._ask_one(RequestCode.GET_ALL_TOPIC_LIST_FROM_NAMESERVER)
        return sorted(TopicList.from_json(answer.body).topic_list)

    async def delete_topic(self, topic: str) -> None:
        header = headers.DeleteTopicFromNamesrvRequestHeader(topic=topic)
        await self._ask_all(RequestCode.DELETE_TOPIC_IN_NAMESRV, header)

    # ---- notes

    async def put_kv(self, namespace: str, key: str, value: str) -> None:
        await self._ask_all(RequestCode.PUT_KV_CONFIG, headers.PutKVConfigRequestHeader(namespace, key, value))

    async def kv(self, namespace: str, key: str) -> str | None:
        """None when there is no such note."""
        try:
            answer = await self._ask_one(RequestCode.GET_KV_CONFIG, headers.GetKVConfigRequestHeader(namespace, key))
        except ResponseError as error:
            if error.code == ResponseCode.QUERY_NOT_FOUND:
                return None
            raise
        return answer.header(headers.GetKVConfigResponseHeader).value

    async def delete_kv(self, namespace: str, key: str) -> None:
        await self._ask_all(RequestCode.DELETE_KV_CONFIG, headers.DeleteKVConfigRequestHeader(namespace, key))

    # ---- settings and permissions, by address

    async def config(self) -> dict[str, dict[str, str]]:
        answers = await self._ask_all(RequestCode.GET_NAMESRV_CONFIG)
        return {address: read_properties(answer.body) for address, answer in answers.items()}

    async def update_config(self, key: str, value: str) -> None:
        await self._ask_all(RequestCode.UPDATE_NAMESRV_CONFIG, body=write_properties({key: value}))

    async def wipe_write_perm(self, broker_name: str) -> dict[str, int]:
        """Send no more producers to a broker; the number of topics that this changed."""
        header = headers.BrokerNameRequestHeader(broker_name)
        answers = await self._ask_all(RequestCode.WIPE_WRITE_PERM_OF_BROKER, header)
        return {address: int(answer.ext_fields.get("wipeTopicCount", 0)) for address, answer in answers.items()}

    async def add_write_perm(self, broker_name: str) -> dict[str, int]:
        header = headers.BrokerNameRequestHeader(broker_name)
        answers = await self._ask_all(RequestCode.ADD_WRITE_PERM_OF_BROKER, header)
        return {address: int(answer.ext_fields.get("addTopicCount", 0)) for address, answer in answers.items()}

    # ---- inside

    async def _ask_one(self, code: RequestCode, header: msgspec.Struct | None = None) -> RemotingCommand:
        return _checked(await self._client.name_servers.ask(RemotingCommand.request(code, header)))

    async def _ask_all(
        self, code: RequestCode, header: msgspec.Struct | None = None, body: bytes = b""
    ) -> dict[str, RemotingCommand]:
        """The answers by address. Raises: the first refusal or failure; later name servers were then not asked."""
        timeout_s = self._client.settings.request_timeout_s
        return {
            address: _checked(
                await self._client.remoting.invoke(address, RemotingCommand.request(code, header, body), timeout_s)
            )
            for address in self.addresses
        }


def _checked(response: RemotingCommand) -> RemotingCommand:
    if response.code != ResponseCode.SUCCESS:
        raise ResponseError(response.code, response.remark)
    return response
