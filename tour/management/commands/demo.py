from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from django.conf import settings
from django.core.management.base import CommandParser
from rich.console import Console

from config import sample_data
from config.environment import environment
from config.management.options import INTERRUPTED, ShopCommand
from config.supervisor import launch, parts, ports, report
from config.supervisor.state import State
from mq.errors import MQError
from tour.broker import Broker
from tour.buyer import Buyer
from tour.cashier import Cashier
from tour.guide import Guide
from tour.steps import STEPS
from tour.story import Story

_PROJECT = Path(__file__).resolve().parents[3]


class Command(ShopCommand):
    help = (
        "The guided tour: start the shop, take eight steps through it, check everything, stop it. Status 0: all green."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        # A shop of its own: the tour moves the clock a day ahead, and it stays there.
        parser.add_argument("--data", type=Path, metavar="DIR", help="the tour's data directory (.millrace/demo)")
        parser.add_argument("--base-port", type=int, metavar="N", help="take free ports from N on, and remember them")

    def handle(self, *args: Any, **options: Any) -> None:
        data = (options["data"] or settings.MILLRACE_DATA / "demo").absolute()
        console = Console()
        console.print("[bold]Millrace[/]: a shop on a message queue. The tour takes about a minute.", highlight=False)
        base_port = options["base_port"] or _elsewhere_if_taken(data, console)
        try:
            with _shop(data, base_port) as shop:
                failures = take_tour(shop, data, Story(console))
                console.print("\n[bold cyan]9  Does everything add up?[/]  (manage.py verify)\n", highlight=False)
                verdict = _verify(data)
        except KeyboardInterrupt:
            console.print("\nStopped halfway; the shop is stopped, too.")
            raise SystemExit(INTERRUPTED) from None
        _say_goodbye(console, data, failures, verdict)
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


def _elsewhere_if_taken(data: Path, console: Console) -> int | None:
    """Where to look for free ports; None when the usual ones are free."""
    taken = ports.taken(data, parts.needed_ports(environment()))
    if not taken:
        return None
    numbers = ", ".join(map(str, taken.values()))
    console.print(f"Others listen on {numbers} already; the tour takes free ports from {ports.ELSEWHERE} on.")
    return ports.ELSEWHERE


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


def _say_goodbye(console: Console, data: Path, failures: list[str], verdict: int) -> None:
    console.print()
    if failures or verdict:
        console.print(f"[bold red]The tour found {len(failures)} things that are not as they should be.[/]")
    else:
        console.print(
            "[bold green]All green.[/] `make up` opens a shop of your own. To look around in the tour's, a day ahead: "
            f"`manage.py up --data {data}`.",
            soft_wrap=True,
        )
