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
from typing import Final, Protocol

from mq import event_loop
from mq.cli import settings
from mq.errors import MQError

logger = logging.getLogger(__name__)

#: The exit status of a start that cannot succeed until somebody changes something.
REFUSED: Final = 3
_FILES_WANTED: Final = 65_536


class Service(Protocol):
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    """The flags of one of the three commands."""
    settings.add_arguments(parser, command)
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the exit status."""
    logging.basicConfig(
        level=args.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        if args.print_settings:
            return settings.print_all(args)
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
    start = {"standalone": _start_standalone, "namesrv": _start_name_server, "broker": _start_broker}[args.command]
    return await start(args)


async def _start_standalone(args: argparse.Namespace) -> tuple[Service, str]:
    from mq.standalone import Standalone, name_server_beside

    config = settings.broker_config(args)
    name_server = name_server_beside(config, 9876 if args.namesrv_port is None else args.namesrv_port)
    service = Standalone(settings.with_changes(name_server), config)
    await service.start()
    return service, f"ready namesrv={service.namesrv} broker={service.broker_address}"


async def _start_name_server(args: argparse.Namespace) -> tuple[Service, str]:
    from mq.namesrv.app import NameServer

    service = NameServer(settings.name_server_config(args))
    await service.start()
    return service, f"ready namesrv={service.address}"


async def _start_broker(args: argparse.Namespace) -> tuple[Service, str]:
    from mq.broker.app import Broker

    config = settings.broker_config(args)
    addresses = args.namesrv or config.name_server_addresses or os.environ.get("MQ_NAMESRV_ADDR", "127.0.0.1:9876")
    service = Broker(replace(config, name_server_addresses=addresses))
    await service.start()
    return service, f"ready broker={service.address}"


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
