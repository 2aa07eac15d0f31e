"""The producer groups that are connected: needed to ask a producer how its transaction ended.

Source: RocketMQ ProducerManager.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from mq.broker.clients import MAX_GROUPS_PER_CLIENT, Client, ClientTable, expired, refresh
from mq.errors import ResponseError
from mq.remoting.codes import ResponseCode
from mq.remoting.connection import Connection


class ProducerManager:
    def __init__(self) -> None:
        self._groups: dict[str, ClientTable] = {}
        self._groups_of: defaultdict[Connection, set[str]] = defaultdict(set)
        self._turns: defaultdict[str, int] = defaultdict(int)

    def register(self, group: str, client: Client) -> None:
        """Raises: ResponseError: 1, the connection has named more groups than one client may."""
        named = self._groups_of[client.connection]
        if group not in named and len(named) >= MAX_GROUPS_PER_CLIENT:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR,
                f"{client.client_id} has named {len(named)} producer groups, no more are taken",
            )
        named.add(group)
        refresh(self._groups.setdefault(group, {}), client)

    def unregister(self, group: str, connection: Connection) -> None:
        if connection in self._groups_of:
            self._groups_of[connection].discard(group)
        table = self._groups.get(group)
        if table is not None:
            table.pop(connection, None)
            if not table:
                del self._groups[group]
                self._turns.pop(group, None)

    def connection_closed(self, connection: Connection) -> None:
        for group in self._groups_of.pop(connection, set()):
            self.unregister(group, connection)

    def groups(self) -> list[str]:
        return list(self._groups)

    def find(self, client_id: str) -> Connection | None:
        """An open connection of the client with this id, whatever its groups."""
        clients = (client for table in self._groups.values() for client in table.values())
        return next((each.connection for each in clients if each.client_id == client_id and _is_open(each)), None)

    def clients(self, group: str) -> list[Client]:
        return list(self._groups.get(group, {}).values())

    def pick(self, group: str, may_have: Callable[[Connection], bool] = lambda _: True) -> Connection | None:
        """An open connection of the group that satisfies `may_have`, another one each time."""
        open_ones = [
            connection
            for connection in self._groups.get(group, {})
            if not connection.is_closed and may_have(connection)
        ]
        if not open_ones:
            return None
        self._turns[group] += 1
        return open_ones[self._turns[group] % len(open_ones)]

    def drop_expired(self, now_s: float) -> None:
        for group, table in list(self._groups.items()):
            for client in expired(table, now_s):
                self.unregister(group, client.connection)


def _is_open(client: Client) -> bool:
    return not client.connection.is_closed
