from __future__ import annotations

import getpass
import json
from datetime import date
from typing import Any

from django.core.management.base import CommandError, CommandParser

from common.clock import now
from config.management.options import RunningShopCommand, add_data, add_json
from payments.gateway import channels
from payments.gateway.contract import GatewayUnavailable
from payments.models import Alarm, Statement
from payments.services import alarms, reconciling, statements


class Command(RunningShopCommand):
    help = (
        "Compare our books with those of third parties: ask what is unknown, take over what we missed, show the rest."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        books = parser.add_subparsers(dest="books", required=True)
        payments = books.add_parser(
            "payments", help="ask the gateways, and compare their daily statements line by line"
        )
        payments.add_argument("--day", type=date.fromisoformat, metavar="YYYY-MM-DD", help="compare this day (again)")
        payments.add_argument("--resolve", type=int, metavar="ALARM", help="note that a person dealt with an alarm")
        payments.add_argument("--why", metavar="TEXT", help="how it was dealt with; goes with --resolve")
        payments.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who did (you)")
        add_json(payments)
        add_data(payments)

    def handle(self, *args: Any, day: date | None, resolve: int | None, **options: Any) -> None:
        """Exit 1 while an alarm stands, 3 when a gateway did not answer."""
        if resolve is not None:
            self._resolve(resolve, by=options["by"], why=options["why"])
            return
        moment = now()
        asked = [reconciling.ask_about_payments(now=moment), reconciling.ask_about_refunds(now=moment)]
        silent = sum(found.unanswered for found in asked)
        try:
            compared = (
                [statements.compare(channel, day, now=moment) for channel in channels.GATEWAYS]
                if day
                else statements.compare_due(now=moment)
            )
        except GatewayUnavailable as error:
            raise CommandError(f"No statement: {error}", returncode=3) from error
        standing = list(Alarm.objects.filter(resolved_at=None).order_by("pk"))
        report = {
            "asked": sum(found.asked for found in asked),
            "settled": sum(found.settled for found in asked),
            "unanswered": silent,
            "statements": [_of_statement(statement) for statement in compared],
            "alarms": [_of_alarm(alarm) for alarm in standing],
        }
        self._show(report, as_json=options["json"])
        if standing or silent:
            raise SystemExit(1 if standing else 3)

    def _resolve(self, number: int, *, by: str, why: str | None) -> None:
        if not why:
            raise CommandError("Say how it was dealt with: --why TEXT.", returncode=2)
        if not alarms.resolve(number, by=by, why=why, now=now()):
            raise CommandError(f"No alarm {number} stands.", returncode=2)
        self.stdout.write(f"Alarm {number} is resolved by {by}: {why}")

    def _show(self, report: dict[str, Any], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(report, indent=2))
            return
        self.stdout.write("{asked} asked about, {settled} settled, {unanswered} without an answer.".format(**report))
        for one in report["statements"]:
            self.stdout.write(
                "statement of {day} at {channel}: {payments} payments of {captured_cents} cents, {refunds} refunds of "
                "{refunded_cents} cents; {repaired} taken over, {differences} differ".format(**one)
            )
        for one in report["alarms"]:
            self.stdout.write("alarm {alarm}: {kind} {about} at {channel} since {since}: {sentence}".format(**one))


def _of_statement(statement: Statement) -> dict[str, Any]:
    return {
        "channel": statement.channel,
        "day": statement.day.isoformat(),
        "payments": statement.payment_count,
        "refunds": statement.refund_count,
        "captured_cents": statement.captured_cents,
        "refunded_cents": statement.refunded_cents,
        "repaired": statement.repaired_count,
        "differences": statement.difference_count,
    }


def _of_alarm(alarm: Alarm) -> dict[str, Any]:
    return {
        "alarm": alarm.pk,
        "kind": alarm.kind,
        "channel": alarm.channel,
        "about": alarm.subject,
        "order_no": alarm.order_no,
        "sentence": alarm.sentence,
        "since": alarm.raised_at.isoformat(timespec="seconds"),
    }
