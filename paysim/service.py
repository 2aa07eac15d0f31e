"""Everything one running payment company consists of, handed to whoever answers a request."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from paysim.alipay.callback import AlipayCallbacks
from paysim.clock import Clock
from paysim.config import Config
from paysim.database import Database
from paysim.keys import Keys
from paysim.notifier import Notifier
from paysim.outbound import Dialect
from paysim.wechat.callback import WechatCallbacks


class CannotOpen(Exception):
    """The data folder, the book in it or the key is unreadable or damaged; nothing was changed."""


@dataclass(frozen=True)
class Service:
    config: Config
    clock: Clock
    database: Database
    keys: Keys
    notifier: Notifier


def build(config: Config) -> Service:
    """Open the book and the keys, before anybody is served.

    Raises: CannotOpen.
    """
    clock = Clock(config.clock_offset_file)
    try:
        database = Database(config.data / "paysim.sqlite3")
        keys = Keys(config.data, config.keys)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise CannotOpen(f"{config.data} cannot be used ({error}); repair it or choose another --data.") from error
    dialects: dict[str, Dialect] = {"alipay": AlipayCallbacks(keys.private), "wechat": WechatCallbacks(keys)}
    return Service(config, clock, database, keys, Notifier(database, dialects, clock))
