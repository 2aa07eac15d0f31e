"""What paysim is told at its start, and the limits it holds against everybody who talks to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: A gateway request or cashier link: Alipay's own biz_content is far below this.
REQUEST_BYTES_MAX = 16 * 1024
#: A press of a button, a fault: a few short fields.
SMALL_REQUEST_BYTES_MAX = 4 * 1024
FIELD_COUNT_MAX = 40
#: How long a callback may take to be answered (the shop should answer within milliseconds).
NOTIFY_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Config:
    #: Holds the database and the private key; nobody else reads it.
    data: Path
    #: Public keys as PEM files: `paysim.pem` is written here, `<app_id>.pem` of each merchant is read from here.
    keys: Path
    port: int
    host: str = "127.0.0.1"
    #: The movable clock of the demo; None is the system's clock.
    clock_offset_file: Path | None = None
    #: Hosts that callbacks may go to, so that a notify_url cannot be used to reach into a network.
    notify_hosts: frozenset[str] = frozenset({"127.0.0.1", "localhost", "::1"})

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"
