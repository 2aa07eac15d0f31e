"""The consumer groups of this broker and their settings; kept in `config/subscriptionGroup.json`, RocketMQ's format.

A group is created by an administrator (code 200) or by its first heartbeat (`autoCreateSubscriptionGroup`).
Source: RocketMQ SubscriptionGroupManager.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

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
#: A bit of the table of what is forbidden (RocketMQ's `PermName.INDEX_PERM_READ` is its number, 2).
FORBIDDEN_TO_READ: Final = 1 << 2
Item = TypeVar("Item")


class SubscriptionGroups:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._path = broker.config.store_root.expanduser() / "config" / "subscriptionGroup.json"
        self._groups: dict[str, SubscriptionGroupConfig] = {}
        self.data_version = DataVersion()
        #: Group -> topic -> the sum of what is forbidden, of which `FORBIDDEN_TO_READ` is all there is.
        self.forbidden: dict[str, dict[str, int]] = {}
        self._is_together = False

    def load(self) -> None:
        stored = json_files.load(self._path, SubscriptionGroupWrapper.from_json)
        self.data_version = stored.data_version
        builtin = {name: SubscriptionGroupConfig(group_name=name) for name in SYSTEM_GROUPS}
        self._groups = builtin | stored.subscription_group_table
        self.forbidden = stored.forbidden_table

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
        self.put_all([group])
        return self._groups[group.group_name]

    def put_all(self, groups: Iterable[SubscriptionGroupConfig]) -> None:
        """Create or replace all of them, or none. Raises: ResponseError: as `put`."""
        changed = {group.group_name: group for group in groups if self._groups.get(group.group_name) != group}
        if not changed:
            return
        try:
            for name in changed:
                check_group(name)
        except InvalidMessage as error:
            raise ResponseError(ResponseCode.INVALID_PARAMETER, str(error)) from error
        after = self._groups | changed
        if len(after) > max(MAX_GROUPS, len(self._groups)):
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR, f"there would be over {MAX_GROUPS} groups: delete some first"
            )
        self._change(after, self.forbidden)

    def delete(self, group: str) -> None:
        if group in self._groups:
            self._change(_without(self._groups, group), _without(self.forbidden, group))

    # ---- forbidding single topics to a group

    def is_reading_forbidden(self, group: str, topic: str) -> bool:
        return bool(self.forbidden) and bool(self.forbidden.get(group, {}).get(topic, 0) & FORBIDDEN_TO_READ)

    def forbid_reading(self, group: str, topic: str, *, is_forbidden: bool) -> None:
        """Raises: ResponseError: 26, no such group: who forbids something must not do it to a misspelt name."""
        if group not in self._groups:
            raise ResponseError(ResponseCode.SUBSCRIPTION_GROUP_NOT_EXIST, f"No group in this broker. group: {group}")
        if self.is_reading_forbidden(group, topic) == is_forbidden:
            return
        topics = _without(self.forbidden.get(group, {}), topic)
        if is_forbidden:
            topics[topic] = FORBIDDEN_TO_READ
        others = _without(self.forbidden, group)
        self._change(self._groups, others | {group: topics} if topics else others)

    def _change(self, groups: dict[str, SubscriptionGroupConfig], forbidden: dict[str, dict[str, int]]) -> None:
        """Take over changed tables, once they are on disk. Raises: OSError: nothing has changed then."""
        version = self.data_version.next(self._broker.clock.now_ms())
        if not self._is_together:
            self._save(groups, forbidden, version)
        self._groups, self.forbidden, self.data_version = groups, forbidden, version

    def _save(
        self, groups: dict[str, SubscriptionGroupConfig], forbidden: dict[str, dict[str, int]], version: DataVersion
    ) -> None:
        json_files.save(self._path, SubscriptionGroupWrapper(version, groups, forbidden).to_dict())

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write the file once for all changes made inside. Raises: OSError: none of them has been made then."""
        before = self._groups, self.forbidden, self.data_version
        self._is_together = True
        try:
            yield
            if self.data_version is not before[-1]:
                self._save(self._groups, self.forbidden, self.data_version)
        except BaseException:
            self._groups, self.forbidden, self.data_version = before
            raise
        finally:
            self._is_together = False


def _without(table: dict[str, Item], name: str) -> dict[str, Item]:
    return {each: item for each, item in table.items() if each != name}
