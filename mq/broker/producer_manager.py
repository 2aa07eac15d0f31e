"""The producer groups that are connected: needed to ask a producer how its transaction ended.

Source: RocketMQ ProducerManager.
"""

from __future__ import annotations

from collections import defaultdict

from mq.broker.clients import Client, ClientTable, expired, refresh
from mq.remoting.connection import Connection


class ProducerManager:
    def __init__(self) -> None:
        self._groups: dict[str, ClientTable] = {}
        self._turns: defaultdict[str, int] = defaultdict(int)

    def register(self, group: str, client: Client) -> None:
        refresh(self._groups.setdefault(group, {}), client)

    def unregister(self, group: str, connection: Connection) -> None:
        table = self._groups.get(group)
        if table is not None:
            table.pop(connection, None)
            if not table:
                del self._groups[group]
                self._turns.pop(group, None)

    def connection_closed(self, connection: Connection) -> None:
        for group in [group for group, table in self._groups.items() if connection in table]:
            self.unregister(group, connection)

    def clients(self, group: str) -> list[Client]:
        return list(self._groups.get(group, {}).values())

    def pick(self, group: str) -> Connection | None:
        """An open connection of the group, another one each time."""
        open_ones = [connection for connection in self._groups.get(group, {}) if not connection.is_closed]
        if not open_ones:
            return None
        self._turns[group] += 1
        return open_ones[self._turns[group] % len(open_ones)]

    def drop_expired(self, now_s: float) -> None:
        for group, table in list(self._groups.items()):
            for client in expired(table, now_s):
                self.unregister(group, client.connection)
