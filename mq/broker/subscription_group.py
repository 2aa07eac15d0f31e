"""The consumer groups of this broker and their settings; kept in `config/subscriptionGroup.json`, RocketMQ's format.

A group is created by an administrator (code 200) or by its first heartbeat (`autoCreateSubscriptionGroup`).
Source: RocketMQ SubscriptionGroupManager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mq.broker.system_names import SYSTEM_GROUPS, is_system_group
from mq.errors import InvalidMessage, ResponseError
from mq.message.message import check_group
from mq.remoting.bodies import DataVersion, SubscriptionGroupConfig, SubscriptionGroupWrapper
from mq.remoting.codes import ResponseCode
from mq.store import json_files

if TYPE_CHECKING:
    from mq.broker.app import Broker

#: More groups than this are refused: each costs memory, a retry topic and an entry in every route.
MAX_GROUPS: Final = 50_000


class SubscriptionGroups:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "subscriptionGroup.json"
        self._groups: dict[str, SubscriptionGroupConfig] = {}
        self.data_version = DataVersion()

    def load(self) -> None:
        stored = json_files.load(self._path, SubscriptionGroupWrapper.from_json)
        self.data_version = stored.data_version
        builtin = {name: SubscriptionGroupConfig(group_name=name) for name in SYSTEM_GROUPS}
        self._groups = builtin | stored.subscription_group_table

    def get(self, group: str) -> SubscriptionGroupConfig | None:
        return self._groups.get(group)

    def all(self) -> dict[str, SubscriptionGroupConfig]:
        return self._groups

    def find_or_create(self, group: str) -> SubscriptionGroupConfig | None:
        """The group's settings; a new group's defaults where groups create themselves, else None.

        A name that RocketMQ does not allow is None as well: a heartbeat skips such a group, a pull is answered 26.
        """
        existing = self._groups.get(group)
        if existing is not None:
            return existing
        if not (self._broker.config.auto_create_group or is_system_group(group)):
            return None
        try:
            return self.put(SubscriptionGroupConfig(group_name=group))
        except ResponseError:
            return None

    def put(self, group: SubscriptionGroupConfig) -> SubscriptionGroupConfig:
        """Create or replace a group; an equal one changes nothing.

        Raises: ResponseError: 29 for a name that is not allowed, 1 when there are too many groups.
        """
        existing = self._groups.get(group.group_name)
        if existing == group:
            return existing
        try:
            check_group(group.group_name)
        except InvalidMessage as error:
            raise ResponseError(ResponseCode.INVALID_PARAMETER, str(error)) from error
        if existing is None and len(self._groups) >= MAX_GROUPS:
            raise ResponseError(ResponseCode.SYSTEM_ERROR, f"there are {MAX_GROUPS} groups already: delete some first")
        self._change(self._groups | {group.group_name: group})
        return group

    def delete(self, group: str) -> None:
        if group in self._groups:
            self._change({name: config for name, config in self._groups.items() if name != group})

    def _change(self, groups: dict[str, SubscriptionGroupConfig]) -> None:
        """Take over a changed table, once it is on disk. Raises: OSError: nothing has changed then."""
        version = self.data_version.next(self._broker.clock.now_ms())
        json_files.save(self._path, SubscriptionGroupWrapper(version, groups).to_dict())
        self._groups, self.data_version = groups, version
