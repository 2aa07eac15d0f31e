"""`python -m paysim --data DIR --port N`: one process, one line when it is ready, a clean stop on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server

from paysim import app, service
from paysim.config import Config
from paysim.service import CannotOpen, Service

_CANNOT_START = 3


class PortTaken(Exception):
    """Somebody else listens there, or the address is not this machine's."""


def main() -> int:
    config = _config()
    try:
        _require_free(config)
        running = service.build(config)
    except (PortTaken, CannotOpen) as error:
        print(f"paysim: {error}", file=sys.stderr)
        return _CANNOT_START
    asyncio.run(_serve(running))
    return 0


def _config() -> Config:
    parser = argparse.ArgumentParser(prog="python -m paysim", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the database and the private key")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--keys",
        type=Path,
        default=os.environ.get("PAYSIM_KEYS"),
        help="folder where public keys change hands as PEM files (default: $PAYSIM_KEYS, else DATA/keys)",
    )
    parser.add_argument(
        "--clock-offset-file",
        type=Path,
        default=os.environ.get("MILLRACE_CLOCK_OFFSET_FILE"),
        help="the movable clock of the demo (default: $MILLRACE_CLOCK_OFFSET_FILE)",
    )
    flags = parser.parse_args()
    return Config(
        data=flags.data,
        keys=flags.keys or flags.data / "keys",
        port=flags.port,
        host=flags.host,
        clock_offset_file=flags.clock_offset_file,
    )


def _require_free(config: Config) -> None:
    """Raises: PortTaken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise PortTaken(
                f"{config.host}:{config.port} cannot be listened on ({error.strerror}); choose another --port."
            ) from error


async def _serve(running: Service) -> None:
    config = running.config
    server = Server(
        app.create(running),
        address=config.host,
        port=config.port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    announcement = asyncio.create_task(_announce(config))
    await server.serve()
    announcement.cancel()


async def _announce(config: Config) -> None:
    """Say so once a connection is accepted; the server itself tells nobody."""
    while True:
        try:
            _, writer = await asyncio.open_connection(config.host, config.port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            print(f"ready paysim={config.address}", flush=True)
            return


if __name__ == "__main__":
    sys.exit(main())
