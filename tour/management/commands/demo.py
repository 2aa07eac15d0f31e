from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from django.core.management.base import CommandParser
from rich.console import Console

from config import sample_data
from config.errors import CannotStart
from config.management.options import ShopCommand, add_data
from config.supervisor import launch, report
from config.supervisor.state import State
from mq.errors import MQError
from tour.broker import Broker
from tour.buyer import Buyer
from tour.cashier import Cashier
from tour.guide import Guide
from tour.steps import STEPS
from tour.story import Story

_INTERRUPTED = 130
_PROJECT = Path(__file__).resolve().parents[3]


class Command(ShopCommand):
    help = "The guided tour: start the shop, take six steps through it, check everything, stop it. Status 0: all green."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("--base-port", type=int, metavar="N", help="take free ports from N on, and remember them")

    def handle(self, *args: Any, **options: Any) -> None:
        data = self.data(options)
        console = Console()
        console.print("[bold]Millrace[/]: a shop on a message queue. The tour takes about a minute.", highlight=False)
        try:
            with _shop(data, options["base_port"]) as shop:
                failures = take_tour(shop, data, Story(console))
                console.print("\n[bold cyan]7  Does everything add up?[/]  (manage.py verify)\n", highlight=False)
                verdict = _verify(data)
        except CannotStart as error:
            self.refuse(error)
        except KeyboardInterrupt:
            console.print("\nStopped halfway; the shop is stopped, too.")
            raise SystemExit(_INTERRUPTED) from None
        _say_goodbye(console, failures, verdict)
        raise SystemExit(1 if failures else verdict)


def take_tour(shop: State, data: Path, story: Story) -> list[str]:
    """Take every step, even after one that failed; what was not as it should be."""
    cashier = Cashier(shop.urls["cashier"])
    logins: dict[str, str] = json.loads(sample_data.logins_file(data).read_text())
    buyers = {name: Buyer(name, password, shop_url=shop.urls["shop"]) for name, password in logins.items()}
    with Broker(shop.urls["namesrv"]) as broker:
        guide = Guide(story, data, buyers, cashier, broker)
        for number, step in enumerate(STEPS, start=1):
            try:
                step(guide, number)
            except (httpx.HTTPError, MQError, TimeoutError) as error:
                story.fail(str(error).partition("\n")[0])
    for buyer in buyers.values():
        buyer.close()
    cashier.close()
    return story.failures


@contextlib.contextmanager
def _shop(data: Path, base_port: int | None) -> Any:
    progress = report.progress()
    with contextlib.ExitStack() as stack:
        try:
            shop = stack.enter_context(launch.running(data, base_port=base_port, progress=progress))
        finally:
            progress.close()
        yield shop


def _verify(data: Path) -> int:
    """The checker, as anybody would call it."""
    command = [sys.executable, str(_PROJECT / "manage.py"), "verify", "--data", str(data)]
    return subprocess.run(command, check=False).returncode


def _say_goodbye(console: Console, failures: list[str], verdict: int) -> None:
    console.print()
    if failures or verdict:
        console.print(f"[bold red]The tour found {len(failures)} things that are not as they should be.[/]")
    else:
        console.print("[bold green]All green.[/] `make up` keeps the shop open for you to look around.")
