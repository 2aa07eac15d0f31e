"""What the supervisor's commands share: the data directory, JSON, and failing with one sentence and status 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

#: The environment is not as it must be; somebody has to change it first.
ENVIRONMENT_FAILURE = 3


class ShopCommand(BaseCommand):
    """A command about the shop in a data directory. It needs no database and no checks, so it starts at once."""

    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data", type=Path, metavar="DIR", help="the shop's data directory (.millrace)")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def data(self, options: dict[str, Any]) -> Path:
        chosen: Path = options["data"] or settings.MILLRACE_DATA
        return chosen.absolute()

    def refuse(self, sentence: object) -> NoReturn:
        """Say why not, on standard error, and end with status 3."""
        self.stderr.write(str(sentence))
        raise SystemExit(ENVIRONMENT_FAILURE)
