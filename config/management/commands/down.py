from __future__ import annotations

import json
from typing import Any

from config.management.options import ShopCommand
from config.supervisor import launch


class Command(ShopCommand):
    help = "Stop the shop cleanly; nothing of it is left running."

    def handle(self, *args: Any, **options: Any) -> None:
        data = self.data(options)
        was_running = launch.stop(data)
        if options["json"]:
            self.stdout.write(json.dumps({"was_running": was_running}))
        else:
            self.stdout.write("The shop is stopped." if was_running else f"No shop runs in {data}.")
