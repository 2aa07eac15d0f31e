"""The environment, read once and typed. Nothing else in the shop looks at `os.environ` for its settings.

Every variable has a default that runs on a laptop: the embedded servers of the data directory. An address given here
points that part at an external server instead, and the supervisor then starts none of its own.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

#: Each service owns the database of its name and nothing else.
SERVICES = ("accounts", "inventory", "orders", "payments")


class Environment(BaseSettings):
    """Addresses, places and secrets. `DATABASE_URL_<SERVICE>` is `postgresql://user:password@host:port/name`."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", frozen=True)

    data: Path = Path(".millrace")
    #: Of commands; the processes that `up` starts say more, and into their own files.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    #: Random per data directory when unset: the supervisor keeps it in the data directory and passes it on.
    secret_key: str | None = None
    #: The file that moves the shop's clock (`manage.py time-travel`); unset, the system's clock is the shop's.
    clock_offset_file: Path | None = None
    #: Connections per service that one process keeps open; 0 opens one per thread and closes it after each request.
    database_pool_size: int = Field(default=0, ge=0, le=50)
    #: How long an order may stay unpaid; timers of the queue reach 3 days ahead.
    payment_window: timedelta = Field(default=timedelta(hours=24), ge=timedelta(seconds=10), le=timedelta(days=3))
    #: Where buyers reach the shop and the third party; the supervisor sets them for every process it starts.
    web_url: str = "http://127.0.0.1:8000"
    paysim_url: str = "http://127.0.0.1:8001"

    mq_namesrv_addr: str | None = Field(default=None, validation_alias="MQ_NAMESRV_ADDR")
    redis_url: str | None = Field(default=None, validation_alias="REDIS_URL")
    database_url_accounts: str | None = Field(default=None, validation_alias="DATABASE_URL_ACCOUNTS")
    database_url_inventory: str | None = Field(default=None, validation_alias="DATABASE_URL_INVENTORY")
    database_url_orders: str | None = Field(default=None, validation_alias="DATABASE_URL_ORDERS")
    database_url_payments: str | None = Field(default=None, validation_alias="DATABASE_URL_PAYMENTS")

    def database_url(self, service: str) -> str | None:
        url: str | None = getattr(self, f"database_url_{service}")
        return url


@cache
def environment() -> Environment:
    return Environment()
