"""A command: its name, flags and function; and what they share, reading flags and finding the brokers they mean."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from mq.admin.report import Report
from mq.client import Admin
from mq.errors import MQError
from mq.remoting.bodies import Body

Config = TypeVar("Config", bound=Body)


class UsageError(Exception):
    """The words of a command line are no command; exit status 2."""


class CommandFailed(MQError):
    """The cluster answered, and the answer is that it cannot be done; exit status 1."""


@dataclass(frozen=True)
class Flag:
    """`-t/--topic`; `read` turns the text into a value, None makes it a switch without one."""

    short: str
    long: str
    help: str
    read: Callable[[str], Any] | None = str
    required: bool = False
    default: Any = None

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        names = [f"-{self.short}"] if self.short else []
        names.append(f"--{self.long}")
        if self.read is None:
            parser.add_argument(*names, dest=self.long, action="store_true", help=self.help)
        else:
            parser.add_argument(
                *names, dest=self.long, type=self.read, required=self.required, default=self.default, help=self.help
            )


@dataclass(frozen=True)
class Session:
    """One run of a command: its flags, the cluster, and how to show something before the end."""

    admin: Admin
    args: argparse.Namespace
    show: Callable[[Report], None]

    def __getitem__(self, flag: str) -> Any:
        return getattr(self.args, flag)

    async def masters(self, address: str = "brokerAddr", cluster: str = "clusterName") -> list[str]:
        """The brokers meant by `-b ADDRESS` or `-c CLUSTER`. Raises: UsageError: neither."""
        if self[address]:
            return [self[address]]
        if self[cluster]:
            return await self.admin.masters(self[cluster])
        raise UsageError(f"-b/--{address} ADDRESS or -c/--{cluster} CLUSTER is needed")

    async def masters_or_all(self, address: str = "brokerAddr", cluster: str = "cluster") -> list[str]:
        """As `masters`; without flags, every master there is."""
        if self[address] or self[cluster]:
            return await self.masters(address, cluster)
        return await self.admin.masters()

    async def every(self, interval_s: float, rounds: int) -> AsyncIterator[int]:
        """Count rounds with a pause between them; 0 for no end."""
        number = 0
        while not rounds or number < rounds:
            if number:
                await asyncio.sleep(interval_s)
            yield number
            number += 1


@dataclass(frozen=True)
class Command:
    name: str
    purpose: str
    flags: tuple[Flag, ...]
    run: Callable[[Session], Awaitable[Report]]


@dataclass
class Family:
    """The commands of one module, each added by a decorator."""

    title: str
    commands: list[Command] = field(default_factory=list)

    def add(
        self, name: str, purpose: str, *flags: Flag
    ) -> Callable[[Callable[[Session], Awaitable[Report]]], Callable[[Session], Awaitable[Report]]]:
        def register(run: Callable[[Session], Awaitable[Report]]) -> Callable[[Session], Awaitable[Report]]:
            self.commands.append(Command(name, purpose, flags, run))
            return run

        return register


# Flags that many commands have

TOPIC: Final = Flag("t", "topic", "topic name", required=True)
GROUP: Final = Flag("g", "groupName", "consumer group", required=True)
BROKER: Final = Flag("b", "brokerAddr", "address of one broker, host:port")
CLUSTER: Final = Flag("c", "clusterName", "every master of this cluster")


def boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def count(text: str) -> int:
    """A number from 0 on."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def perm(text: str) -> int:
    """2 write, 4 read, 6 both; by number or as W, R, RW."""
    value = {"W": 2, "R": 4, "RW": 6, "WR": 6}.get(text.upper(), text)
    if str(value) not in ("2", "4", "6"):
        raise argparse.ArgumentTypeError(f"{text!r} is no permission: 2 (write), 4 (read) or 6 (both)")
    return int(value)


def moment(text: str) -> int:
    """Epoch milliseconds from `now`, a number, or `yyyy-MM-dd#HH:mm:ss:SSS` in local time; -1 is the end."""
    if text == "now":
        return int(datetime.now().astimezone().timestamp() * 1000)
    if text.lstrip("-").isdigit():
        return int(text)
    try:
        parsed = datetime.strptime(text, "%Y-%m-%d#%H:%M:%S:%f").astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: now, epoch ms, or yyyy-MM-dd#HH:mm:ss:SSS") from None
    return int(parsed.timestamp() * 1000)


def configs(kind: type[Config]) -> Callable[[str], list[Config]]:
    """A reader of files that hold a JSON list of such objects."""

    def read(path: str) -> list[Config]:
        try:
            entries = json.loads(Path(path).read_text())
            return [kind.from_json(entry) for entry in entries]
        except (OSError, ValueError, TypeError, AttributeError, MQError) as error:
            raise argparse.ArgumentTypeError(f"{path}: {error}") from None

    return read


def listed(text: str) -> list[str]:
    """The words of a text that commas or semicolons separate."""
    return [word.strip() for word in text.replace(";", ",").split(",") if word.strip()]


def json_object(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object") from None
