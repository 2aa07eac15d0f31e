from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from config.management.options import RunningShopCommand
from verify import report, runner
from verify.finding import exit_code


class Command(RunningShopCommand):
    help = (
        "Compare databases, broker and payment company. Exit status 0: all holds, 1: broken, 3: a part is unreachable."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--drain",
            type=float,
            default=30.0,
            metavar="SECONDS",
            help="wait at most so long for messages that are under way (default: 30)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        runner.drain(options["drain"])
        findings = runner.run()
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(findings), indent=2))
        else:
            report.show(findings, report.console())
        raise SystemExit(exit_code(findings))
