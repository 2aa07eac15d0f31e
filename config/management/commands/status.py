from __future__ import annotations

import json
from typing import Any

from config.management.options import ShopCommand
from config.supervisor import report, state
from config.supervisor.state import Health, Phase


class Command(ShopCommand):
    help = (
        "Show every process of the shop, how it is, and where the shop is found. Status 1: one is unwell, 3: no shop."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        data = self.data(options)
        last = state.read(data)
        if last is not None and not last.supervisor.is_alive():
            last.phase = Phase.STOPPED
            for part in last.parts:
                part.health = Health.STOPPED if part.health is not Health.EXTERNAL else part.health
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(last) if last else {"phase": "stopped", "data": str(data)}))
        elif last is not None and last.phase is not Phase.STOPPED:
            report.console().print(report.table(last), report.addresses(last), sep="\n")
        if last is None or last.phase is Phase.STOPPED:
            self.refuse(f"No shop runs in {data}: start it with `manage.py up`.")
        if any(part.health in (Health.RESTARTING, Health.UNRESPONSIVE) for part in last.parts):
            raise SystemExit(1)
