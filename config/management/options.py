"""What commands about a shop share: which data directory, JSON or not, and refusing with a sentence and status 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config.errors import CannotStart
from config.supervisor.attach import attach

#: What shells expect of a command that Ctrl-C ended.
INTERRUPTED = 130


class ShopCommand(BaseCommand):
    """A command about the shop in a data directory. It needs no database and no checks, so it starts at once."""

    requires_system_checks = ()
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        add_json(parser)

    def data(self, options: dict[str, Any]) -> Path:
        chosen: Path = options["data"] or settings.MILLRACE_DATA
        return chosen.absolute()

    def refuse(self, sentence: object) -> NoReturn:
        """Say why not, on standard error, and end with status 3."""
        self.stderr.write(str(sentence))
        raise SystemExit(CannotStart.exit_status)


class RunningShopCommand(ShopCommand):
    """A command that works on the servers of the shop that runs in a data directory, wherever it is called.

    Called by code (`call_command`), it works on those of its caller's settings.
    """

    def run_from_argv(self, argv: list[str]) -> None:
        options = self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
        attach(self.data(vars(options)))
        super().run_from_argv(argv)


def add_data(parser: CommandParser) -> None:
    parser.add_argument("--data", type=Path, metavar="DIR", help="the shop's data directory (.millrace)")


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
