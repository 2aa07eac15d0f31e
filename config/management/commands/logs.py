from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from config.management.options import ShopCommand


class Command(ShopCommand):
    help = "Show what the shop's processes wrote; -f goes on showing."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("names", nargs="*", metavar="NAME", help="processes, as `status` names them (all)")
        parser.add_argument("-f", "--follow", action="store_true")
        parser.add_argument("-n", "--lines", type=int, default=20, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        directory = self.data(options) / "logs"
        names = options["names"] or sorted(path.stem for path in directory.glob("*.log"))
        files = [directory / f"{name}.log" for name in names]
        missing = [path for path in files if not path.is_file()]
        if missing or not files:
            self.refuse(f"There is no {missing[0] if missing else directory}: `manage.py status` names the processes.")
        self._tail(files, lines=options["lines"], follow=options["follow"])

    def _tail(self, files: list[Path], *, lines: int, follow: bool) -> None:
        """Everybody's `tail` follows files through their rotation better than we would."""
        try:
            subprocess.run(["tail", "-n", str(lines), *(["-F"] if follow else []), "--", *files], check=False)
        except KeyboardInterrupt:
            return
