from __future__ import annotations

import asyncio
import importlib
import importlib.util
import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.environment import SERVICES
from messaging.registry import registry
from messaging.worker import Worker
from mq.client import Client
from mq.client.settings import ClientSettings
from mq.event_loop import run

#: Offsets are committed more often than RocketMQ's every 5 s: less comes again after a crash, and `verify` waits less.
_SETTINGS = ClientSettings(offset_persist_s=1.0)


class Command(BaseCommand):
    help = "Consume the messages of some services (default: of all), until SIGTERM or Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("services", nargs="*", metavar="SERVICE", help=f"any of {', '.join(SERVICES)}")
        parser.add_argument(
            "--instance-name",
            metavar="NAME",
            help="take over from a predecessor that died, with its queue locks; never run two of one name",
        )
        parser.add_argument(
            "--alive-socket", type=Path, metavar="PATH", help="show a sign of life to who connects there"
        )

    def handle(self, *args: Any, services: list[str], **options: Any) -> None:
        unknown = sorted(set(services) - set(SERVICES))
        if unknown:
            raise CommandError(f"no such service: {', '.join(unknown)}; there are {', '.join(SERVICES)}", returncode=2)
        run(self._consume(services or list(SERVICES), options["instance_name"], options["alive_socket"]))

    async def _consume(self, services: list[str], instance_name: str | None, alive_socket: Path | None) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, stopping.set)
        for service in services:
            importlib.import_module(f"{service}.consumers")
        client = Client(settings.MQ_NAMESRV_ADDR, settings=_SETTINGS, instance_name=instance_name)
        workers = [Worker(service, registry=registry, client=client) for service in services]
        try:
            for worker in workers:
                await worker.start()
            if alive_socket is not None:
                self._sign_of_life = await asyncio.start_unix_server(_show_life, alive_socket)
            self.stdout.write(f"ready consuming {' '.join(services)}")
            self.stdout.flush()
            await stopping.wait()
        finally:
            await asyncio.gather(*(worker.stop() for worker in workers))


async def _show_life(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """That the event loop turns is what is shown: everything that a consumer does goes through it."""
    writer.write(b"alive")
    writer.close()
