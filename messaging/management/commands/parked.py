from __future__ import annotations

import getpass
import json
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from config.environment import SERVICES
from config.management.options import RunningShopCommand, add_data, add_json
from messaging import by_hand
from messaging.audit import Operator
from messaging.by_hand import Place
from messaging.models import OperatorAction, ParkedMessage
from mq.errors import MQError


class Command(RunningShopCommand):
    help = "Messages that wait at the side because a handler keeps failing: list them, try them again, give one up."

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("list", help="everything that is parked, oldest first")
        add_json(listing)
        redrive = actions.add_parser("redrive", help="try again now, in order; what fails stays parked")
        redrive.add_argument("sharding_keys", nargs="*", metavar="SHARDING_KEY", help="such as an order number (all)")
        discard = actions.add_parser("discard", help="give up the first message of a key; those behind it go on")
        discard.add_argument("group")
        discard.add_argument("sharding_key", metavar="SHARDING_KEY")
        history = actions.add_parser("history", help="what people did with parked messages, oldest first")
        add_json(history)
        for deed in (redrive, discard):
            deed.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who does it (you)")
            deed.add_argument("--why", default="", metavar="TEXT", help="the reason, for the history")
        for action in (listing, redrive, discard, history):
            add_data(action)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            self._list(as_json=options["json"])
        elif action == "history":
            self._history(as_json=options["json"])
        elif action == "redrive":
            self._redrive(set(options["sharding_keys"]), Operator(options["by"], options["why"]))
        else:
            self._discard(options["group"], options["sharding_key"], Operator(options["by"], options["why"]))

    def _list(self, *, as_json: bool) -> None:
        rows = [_as_dict(service, parked) for service in SERVICES for parked in _all(service)]
        if as_json:
            self.stdout.write(json.dumps(rows, indent=2))
        elif not rows:
            self.stdout.write("Nothing is parked.")
        else:
            table = Table("group", "sharding key", "message", "tries", "since", "why")
            for row in rows:
                cells = ("group", "sharding_key", "key", "attempts", "parked_at", "reason")
                table.add_row(*(str(row[name]) for name in cells))
            Console().print(table)

    def _history(self, *, as_json: bool) -> None:
        deeds = [deed for service in SERVICES for deed in OperatorAction.objects.using(service).order_by("id")]
        rows = [_of_deed(deed) for deed in sorted(deeds, key=lambda deed: deed.done_at)]
        if as_json:
            self.stdout.write(json.dumps(rows, indent=2))
        for row in [] if as_json else rows:
            self.stdout.write(
                "{at} {by}: {action} {group} {sharding_key} ({key}): {effects} had effect. {why}".format(**row)
            )

    def _redrive(self, wanted: set[str], operator: Operator) -> None:
        places = dict.fromkeys(
            Place(service, parked.group, parked.sharding_key)
            for service in SERVICES
            for parked in _all(service)
            if not wanted or parked.sharding_key in wanted
        )
        try:
            count = by_hand.redrive(places, operator)
        except MQError as error:
            raise CommandError(f"The queue at {settings.MQ_NAMESRV_ADDR} does not answer: {error}") from error
        left = sum(len(_all(service)) for service in SERVICES)
        self.stdout.write(f"{count} had their effect; {left} are still parked.")

    def _discard(self, group: str, sharding_key: str, operator: Operator) -> None:
        for service in SERVICES:
            first = by_hand.discard(Place(service, group, sharding_key), operator)
            if first is not None:
                self.stdout.write(
                    f"{first.key} is given up. Its body was: {bytes(first.body).decode(errors='replace')}"
                )
                return
        raise CommandError(f"nothing of group {group!r} is parked under {sharding_key!r}")


def _all(service: str) -> list[ParkedMessage]:
    return list(ParkedMessage.objects.using(service).order_by("id"))


def _as_dict(service: str, parked: ParkedMessage) -> dict[str, Any]:
    return {
        "service": service,
        "group": parked.group,
        "sharding_key": parked.sharding_key,
        "key": parked.key,
        "topic": parked.topic,
        "message_id": parked.message_id,
        "attempts": parked.attempts,
        "parked_at": parked.parked_at.isoformat(),
        "next_attempt_at": parked.next_attempt_at.isoformat() if parked.next_attempt_at else None,
        "reason": parked.reason,
    }


def _of_deed(deed: OperatorAction) -> dict[str, Any]:
    return {
        "at": deed.done_at.isoformat(timespec="seconds"),
        "by": deed.by,
        "action": deed.action,
        "group": deed.group,
        "sharding_key": deed.sharding_key,
        "key": deed.key,
        "effects": deed.effect_count,
        "why": deed.why,
    }
