from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common import money
from common.clock import now
from common.errors import ShopError
from config.management.options import RunningShopCommand, add_data
from orders import queries
from orders.services import cases

_LIST_MAX = 1000


class Command(RunningShopCommand):
    help = "Refund cases that wait for staff: list them, approve one (the goods are fetched), or reject one."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("action", choices=("list", "approve", "reject"))
        parser.add_argument("refund_no", nargs="?")
        parser.add_argument("--by", metavar="NAME", default=getpass.getuser(), help="who decides (default: you)")
        parser.add_argument("--why", default="", metavar="WORDS", help="told to the buyer; needed to reject")

    def handle(self, *args: Any, action: str, refund_no: str | None, by: str, why: str, **options: Any) -> None:
        if action == "list":
            self._list()
            return
        if refund_no is None:
            raise CommandError("Which one? Give its number; `list` shows them.")
        if action == "reject" and not why:
            raise CommandError("The buyer wants to know why: --why.")
        try:
            if action == "approve":
                cases.approve(refund_no=refund_no, by=by, now=now())
            else:
                cases.reject(refund_no=refund_no, by=by, why=why[:200], now=now())
        except ShopError as refusal:
            raise CommandError(refusal.message) from refusal
        self.stdout.write(f"{refund_no} is {'approved' if action == 'approve' else 'rejected'}.")

    def _list(self) -> None:
        found = queries.open_cases(limit=_LIST_MAX)
        for case in found:
            units = ", ".join(f"{line.quantity} x {line.sku}" for line in case.lines.all())
            self.stdout.write(
                f"{case.refund_no} {case.status} order {case.order_id}: {units}, "
                f"{money.to_text(case.amount_cents)}: {case.reason or 'no reason given'}"
            )
        self.stdout.write(f"{len(found)} cases wait.")
