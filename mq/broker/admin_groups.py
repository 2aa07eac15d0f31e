"""What the admin tool asks about consumer groups: their settings, topics and subscriptions.

Codes 201 and 352 (settings), 200 and 225 (make one, many), 207 (delete), 343 (topics of a group), 345 (what it
subscribes to), 353 (forbid a group to read a topic). Source: RocketMQ AdminBrokerProcessor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mq.broker.paging import page
from mq.errors import ResponseError
from mq.remoting.bodies import (
    GroupForbidden,
    QuerySubscriptionResponseBody,
    SubscriptionGroupConfig,
    SubscriptionGroupList,
    SubscriptionGroupWrapper,
    TopicList,
)
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.headers import (
    DeleteSubscriptionGroupRequestHeader,
    GetAllSubscriptionGroupRequestHeader,
    GetSubscriptionGroupConfigRequestHeader,
    GroupAndTopicRequestHeader,
    UpdateGroupForbiddenRequestHeader,
)

if TYPE_CHECKING:
    from mq.broker.app import Broker


class AdminGroupsProcessor:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handlers(self) -> dict[int, Handler]:
        return {
            RequestCode.GET_ALL_SUBSCRIPTIONGROUP_CONFIG: self._groups,
            RequestCode.GET_SUBSCRIPTIONGROUP_CONFIG: self._group,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP: self._put_group,
            RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST: self._put_groups,
            RequestCode.DELETE_SUBSCRIPTIONGROUP: self._delete_group,
            RequestCode.QUERY_TOPICS_BY_CONSUMER: self._topics_of_group,
            RequestCode.QUERY_SUBSCRIPTION_BY_CONSUMER: self._subscription,
            RequestCode.UPDATE_AND_GET_GROUP_FORBIDDEN: self._forbidden,
        }

    # ---- settings

    def _groups(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GetAllSubscriptionGroupRequestHeader)
        groups = self._broker.groups
        table = page(groups.all(), header.group_seq, header.max_group_num)
        body = SubscriptionGroupWrapper(groups.data_version, table, groups.forbidden)
        return command.respond(ext={"totalGroupNum": str(len(groups.all()))}, body=body.to_json())

    def _group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        name = command.header(GetSubscriptionGroupConfigRequestHeader).group
        group = self._broker.groups.get(name)
        if group is None:
            raise ResponseError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"No group in this broker. group: {name}")
        return command.respond(body=group.to_json())

    def _put_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        self._broker.groups.put(SubscriptionGroupConfig.from_json(command.body))
        return command.respond()

    def _put_groups(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """All groups of a list, or, when one of them cannot be, none. Raises: ResponseError: 29, 1."""
        self._broker.groups.put_all(SubscriptionGroupList.from_json(command.body).group_config_list)
        return command.respond()

    def _delete_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(DeleteSubscriptionGroupRequestHeader)
        self._broker.groups.delete(header.group_name)
        if header.clean_offset or header.remove_offset:
            self._broker.offsets.delete_group(header.group_name)
            self._broker.orders.forget(group=header.group_name)
        return command.respond()

    # ---- what a group reads

    def _topics_of_group(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        group = command.header(GetSubscriptionGroupConfigRequestHeader).group
        return command.respond(body=TopicList(self._broker.offsets.topics_of(group)).to_json())

    def _subscription(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        header = command.header(GroupAndTopicRequestHeader)
        group = self._broker.consumers.group(header.group)
        subscribed = group.subscriptions.get(header.topic) if group else None
        body = QuerySubscriptionResponseBody(header.group, header.topic, subscribed.data if subscribed else None)
        return command.respond(body=body.to_json())

    def _forbidden(self, connection: Connection, command: RemotingCommand) -> RemotingCommand:
        """Whether a group may read a topic, after changing it if `readable` is given."""
        header = command.header(UpdateGroupForbiddenRequestHeader)
        groups = self._broker.groups
        if header.readable is not None:
            groups.forbid_reading(header.group, header.topic, is_forbidden=not header.readable)
        is_readable = not groups.is_reading_forbidden(header.group, header.topic)
        return command.respond(body=GroupForbidden(header.group, header.topic, is_readable).to_json())
