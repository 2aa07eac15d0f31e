from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from accounts.services import registering
from common.clock import now
from config import sample_data
from config.management.options import RunningShopCommand
from inventory import queries
from inventory.services import catalog
from messaging.transactions import QueueUnavailable


class Command(RunningShopCommand):
    help = "Put the sample articles on sale and create the sample buyers. What is there already stays as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        logins = self._logins(self.data(options))
        try:
            new = self._put_missing_articles()
        except QueueUnavailable as error:
            self.refuse(f"{error}. Articles are announced on the queue: start the broker first (`manage.py up`).")
        if options["json"]:
            self.stdout.write(json.dumps({"logins": logins, "new_skus": new}))
        else:
            self.stdout.write(f"{len(new)} articles are new.")
            self.stdout.write(
                f"Buyers: {', '.join(logins)}; passwords in {sample_data.logins_file(self.data(options))}"
            )

    def _logins(self, data: Path) -> dict[str, str]:
        logins = sample_data.logins(data)
        # A password is checked by hashing it, which takes long: what the file has was set when the file was written.
        missing = {name: secrets.token_urlsafe(12) for name in sample_data.BUYERS if name not in logins}
        for username, password in missing.items():
            registering.put_buyer(username=username, password=password)
        if missing:
            sample_data.remember_logins(data, logins | missing)
        return logins | missing

    def _put_missing_articles(self) -> list[str]:
        known = queries.known_skus()
        missing = [article for article in sample_data.ARTICLES if article.sku not in known]
        for article in missing:
            catalog.put_sku(
                sku=article.sku,
                title=article.title,
                price_cents=article.price_cents,
                on_sale=True,
                initial=article.initial,
                now=now(),
            )
        return [article.sku for article in missing]
