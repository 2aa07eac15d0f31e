from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts import queries
from accounts.services import balance
from common import money
from common.clock import now
from common.errors import ShopError
from config.management.options import RunningShopCommand, add_data


class Command(RunningShopCommand):
    help = "Put money on a buyer's balance. The same reference again adds nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("username")
        parser.add_argument("amount", help="in yuan, such as 12.34")
        parser.add_argument("--reference", required=True, metavar="NO", help="the credit's own number")

    def handle(self, *args: Any, **options: Any) -> None:
        reference = options["reference"]
        if not 1 <= len(reference) <= 64:
            raise CommandError("A reference has 1 to 64 characters.")
        buyer_id = queries.buyer_id_of(options["username"])
        if buyer_id is None:
            raise CommandError(f"There is no buyer {options['username']}.")
        try:
            cents = money.from_text(options["amount"])
            is_new = balance.credit(reference=reference, buyer_id=buyer_id, cents=cents, now=now())
        except (money.BadAmount, ShopError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['amount']} credited." if is_new else "This reference was credited before.")
