"""`standalone`, `namesrv`, `broker`: configure, start, say one line, and run until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from mq import event_loop, properties_file
from mq.errors import MQError
from mq.properties_file import ConfigError

if TYPE_CHECKING:
    from mq.broker.config import BrokerConfig

logger = logging.getLogger(__name__)

#: The exit status of a start that cannot succeed until somebody changes something.
REFUSED: Final = 3
_FILES_WANTED: Final = 65_536


class Service(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """The flags of one of the three commands."""
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="RocketMQ's properties file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; wins over the file"
    )
    if command != "namesrv":
        parser.add_argument("--data", type=Path, metavar="DIR", help="the store's directory (storePathRootDir)")
        parser.add_argument("--broker-port", type=int, metavar="PORT", help="listenPort, 10911; 0 takes a free one")
    if command != "broker":
        parser.add_argument("--namesrv-port", type=int, metavar="PORT", help="9876; 0 takes a free one")
    if command == "broker":
        parser.add_argument("-n", "--namesrv", metavar="NAMESRV", help="name servers: host:port;host:port")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    logging.basicConfig(
        level=args.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        _allow_many_files()
        return event_loop.run(_serve(args))
    except MQError as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(_explain(error))


async def _serve(args: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service, ready_line = await _start(args)
    # What lives now lives for good: keep the cycle collector from looking at it again.
    gc.collect()
    gc.freeze()
    print(ready_line, flush=True)
    await stop.wait()
    await service.stop()
    return 0


async def _start(args: argparse.Namespace) -> tuple[Service, str]:
    values = properties_file.load(args.config) if args.config else {}
    for setting in args.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}: KEY=VALUE is expected, such as --set flushDiskType=ASYNC_FLUSH")
        values[key] = value
    start = {"standalone": _start_standalone, "namesrv": _start_name_server, "broker": _start_broker}[args.command]
    return await start(args, values)


async def _start_standalone(args: argparse.Namespace, values: dict[str, str]) -> tuple[Service, str]:
    from mq.namesrv.config import NameServerConfig
    from mq.standalone import Standalone

    config = _broker_config(args, values)
    name_server = NameServerConfig(
        bind_address=config.bind_address,
        listen_port=9876 if args.namesrv_port is None else args.namesrv_port,
        kv_config_path=config.store_root / "namesrv" / "kvConfig.json",
    )
    service = Standalone(name_server, config)
    await service.start()
    return service, f"ready namesrv={service.namesrv} broker={service.broker_address}"


async def _start_name_server(args: argparse.Namespace, values: dict[str, str]) -> tuple[Service, str]:
    from mq.namesrv.app import NameServer
    from mq.namesrv.config import NameServerConfig

    if args.namesrv_port is not None:
        values["listenPort"] = str(args.namesrv_port)
    config, warnings = properties_file.build(NameServerConfig, values)
    _warn(warnings)
    service = NameServer(config)
    await service.start()
    return service, f"ready namesrv={service.address}"


async def _start_broker(args: argparse.Namespace, values: dict[str, str]) -> tuple[Service, str]:
    from mq.broker.app import Broker

    config = _broker_config(args, values)
    addresses = args.namesrv or config.name_server_addresses or os.environ.get("MQ_NAMESRV_ADDR", "127.0.0.1:9876")
    service = Broker(replace(config, name_server_addresses=addresses))
    await service.start()
    return service, f"ready broker={service.address}"


def _broker_config(args: argparse.Namespace, values: dict[str, str]) -> BrokerConfig:
    from mq.broker.config import BrokerConfig

    if args.data is not None:
        values["storePathRootDir"] = str(args.data)
    if args.broker_port is not None:
        values["listenPort"] = str(args.broker_port)
    config, warnings = properties_file.build(BrokerConfig, values)
    _warn(warnings)
    return config


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)


def _allow_many_files() -> None:
    """Every connection and every mapped file is a descriptor; the usual soft limit of 1,024 is soon used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # the system allows less than it says: go on with what there is
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _explain(error: OSError) -> str:
    """An operating system's error as a sentence with a way out."""
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}: stop what listens there, or choose other ports (--namesrv-port, --broker-port)"
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EROFS):
        return f"{error.strerror}{where}: let this user read and write it, or choose another place with --data"
    return f"{error.strerror or error}{where}"


def _refuse(sentence: str) -> int:
    print(f"mq: {sentence}", file=sys.stderr)
    return REFUSED
