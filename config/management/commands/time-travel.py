from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from config import data_directory
from config.management.options import ShopCommand
from config.supervisor.attach import running
from config.supervisor.state import Health
from mq.clock import move_offset_file

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: Timers reach three days ahead; a longer step would skip what they should show.
_LONGEST = timedelta(days=3)


class Command(ShopCommand):
    help = "Move the clocks of the shop, the broker and the third party forward together: time-travel 24h."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("duration", help="such as 90s, 15m, 24h or 2d")

    def handle(self, *args: Any, duration: str, **options: Any) -> None:
        step = parse(duration)
        data = self.data(options)
        elsewhere = [part.name for part in running(data).parts if part.health is Health.EXTERNAL]
        if elsewhere:
            self.refuse(
                f"The clocks of {', '.join(elsewhere)} cannot be moved, and would disagree with the shop's: "
                "time travel is for a shop whose servers were all started by `manage.py up`."
            )
        offset_ms = move_offset_file(data_directory.clock_offset_file(data), round(step.total_seconds() * 1000))
        if options["json"]:
            self.stdout.write(json.dumps({"offset_ms": offset_ms}))
        else:
            self.stdout.write(f"The shop's clock is {timedelta(milliseconds=offset_ms)} ahead of this machine's.")


def parse(text: str) -> timedelta:
    """A duration such as `24h`.

    Raises: CommandError: no number with a unit, or not within the limit.
    """
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    step = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < step <= _LONGEST:
        raise CommandError(f"{text!r}: expected a duration up to 3d, such as 90s, 15m or 24h", returncode=2)
    return step
