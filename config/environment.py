"""The environment, read once and typed. Nothing else in the shop looks at `os.environ` for its settings.

Every variable has a default that runs on a laptop: the embedded servers of the data directory. An address given here
points that part at an external server instead, and the supervisor then starts none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.errors import BadEnvironment

#: Each service owns the database of its name and nothing else.
SERVICES = ("accounts", "coupons", "fulfillment", "inventory", "notifications", "orders", "payments")


def _name_servers(text: str) -> str:
    for address in text.split(";"):
        host, _, port = address.strip().rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
            raise ValueError("expected host:port, several of them separated by semicolons")
    return text


def _postgres_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("postgresql", "postgres") and parts.path.strip("/") and parts.port != 0
    except ValueError:  # Its words may quote a piece of the password.
        is_one = False
    if not is_one:
        raise ValueError("expected postgresql://user:password@host:port/database")
    return text


def _redis_url(text: str) -> str:
    if not text.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("expected redis://host:port, rediss://host:port or unix://path")
    return text


NameServers = Annotated[str, AfterValidator(_name_servers)]
PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]


class Environment(BaseSettings):
    """Addresses, places and secrets. `DATABASE_URL_<SERVICE>` is `postgresql://user:password@host:port/name`."""

    model_config = SettingsConfigDict(env_prefix="MILLRACE_", frozen=True)

    data: Path = Path(".millrace")
    #: Where the payment company and the shop leave each other their public keys; unset, in the data directory.
    keys: Path | None = None
    #: Of commands; the processes that `up` starts say more, and into their own files.
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    #: Random per data directory when unset: the supervisor keeps it in the data directory and passes it on.
    secret_key: str | None = None
    #: Names, separated by commas, under which requests may come: buyers' and the payment company's.
    allowed_hosts: str = "127.0.0.1,localhost"
    #: The file that moves the shop's clock (`manage.py time-travel`); unset, the system's clock is the shop's.
    clock_offset_file: Path | None = None
    #: Connections per service that one process keeps open; 0 opens one per thread and closes it after each request.
    database_pool_size: int = Field(default=0, ge=0, le=50)
    #: How long an order may stay unpaid; timers of the queue reach 3 days ahead.
    payment_window: timedelta = Field(
        default=timedelta(hours=24),
        ge=timedelta(seconds=10),
        le=timedelta(days=3),
        description="a duration from 10 seconds to 3 days, such as 00:30:00 or P1D",
    )
    #: How long after its delivery an order may be sent back; then its receipt counts as confirmed.
    receipt_window: timedelta = Field(
        default=timedelta(days=7),
        ge=timedelta(seconds=10),
        le=timedelta(days=60),
        description="a duration from 10 seconds to 60 days, such as P7D",
    )
    #: How many unpaid orders one buyer may have at once.
    open_orders_per_buyer_max: int = Field(default=50, ge=1, le=100_000)
    #: Where buyers reach the shop and the third party; the supervisor sets them for every process it starts.
    web_url: str = "http://127.0.0.1:8000"
    paysim_url: str = "http://127.0.0.1:8001"
    #: Warehouse and carrier: `unix:///path` or `http://host:port`; unset, those of the data directory.
    shipsim_url: str | None = None
    #: Where the shop itself reaches the third party, and the third party the shop, when that is not where buyers do.
    gateway_url: str | None = None
    notify_url: str | None = None

    mq_namesrv_addr: NameServers | None = Field(default=None, validation_alias="MQ_NAMESRV_ADDR")
    redis_url: RedisUrl | None = Field(default=None, validation_alias="REDIS_URL")
    database_url_accounts: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_ACCOUNTS")
    database_url_coupons: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_COUPONS")
    database_url_fulfillment: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_FULFILLMENT")
    database_url_inventory: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_INVENTORY")
    database_url_notifications: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_NOTIFICATIONS")
    database_url_orders: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_ORDERS")
    database_url_payments: PostgresUrl | None = Field(default=None, validation_alias="DATABASE_URL_PAYMENTS")

    def database_url(self, service: str) -> str | None:
        url: str | None = getattr(self, f"database_url_{service}")
        return url

    @property
    def has_servers_of_its_own(self) -> bool:
        """Whether everything that a supervisor would start for commands to work on is said to be elsewhere."""
        return self.mq_namesrv_addr is not None and all(self.database_url(service) for service in SERVICES)


@cache
def environment() -> Environment:
    """Raises: BadEnvironment: names every variable that makes no sense, and what was expected."""
    try:
        return Environment()
    except ValidationError as error:
        raise BadEnvironment("\n".join(_complaint(one) for one in error.errors())) from None


def _complaint(error: Mapping[str, Any]) -> str:
    """Without the value, which may hold a password."""
    place = str(error["loc"][0])
    name = place if place.isupper() else f"{Environment.model_config['env_prefix']}{place}".upper()
    field = Environment.model_fields.get(place)
    problem = f"expected {field.description}" if field and field.description else error["msg"]
    return f"The environment variable {name} makes no sense: {problem.removeprefix('Value error, ')}."
