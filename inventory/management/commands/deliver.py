from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.clock import now
from common.errors import NotFound
from config.management.options import RunningShopCommand, add_data
from inventory.services import catalog

QUANTITY_MAX = 1_000_000


class Command(RunningShopCommand):
    help = "Put delivered units on the shelf. The same receipt again adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("sku")
        parser.add_argument("quantity", type=int)
        parser.add_argument("--receipt", required=True, metavar="NO", help="the delivery's own number")

    def handle(self, *args: Any, **options: Any) -> None:
        sku, quantity = options["sku"], options["quantity"]
        if not 1 <= quantity <= QUANTITY_MAX:
            raise CommandError(f"A delivery brings 1 to {QUANTITY_MAX} units.")
        try:
            is_new = catalog.receive_delivery(sku=sku, quantity=quantity, receipt_no=options["receipt"], now=now())
        except NotFound as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{quantity} x {sku} on the shelf." if is_new else "This receipt was entered before.")
