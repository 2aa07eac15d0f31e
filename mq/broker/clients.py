"""Who is connected: the client behind a connection, as its heartbeats describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mq.remoting.connection import Connection

#: A client that sends no heartbeat for this long is gone, even if its connection is open.
EXPIRY_S: Final = 120.0
SCAN_INTERVAL_S: Final = 10.0
#: More groups of one kind in one heartbeat are refused.
MAX_GROUPS_PER_CLIENT: Final = 1000


@dataclass(slots=True)
class Client:
    """Units: `last_heartbeat_s` on the event loop's clock."""

    connection: Connection
    client_id: str
    language: str | None
    version: int
    last_heartbeat_s: float


ClientTable = dict[Connection, Client]


def refresh(table: ClientTable, client: Client) -> bool:
    """Note a heartbeat; True when it is the first on its connection or names another client id."""
    known = table.get(client.connection)
    table[client.connection] = client
    return known is None or known.client_id != client.client_id


def expired(table: ClientTable, now_s: float) -> list[Client]:
    return [client for client in table.values() if now_s - client.last_heartbeat_s > EXPIRY_S]
