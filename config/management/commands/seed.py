from __future__ import annotations

import json
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from accounts import queries as queries_of_accounts
from accounts.services import addresses, balance, registering
from common.clock import now
from config import sample_data
from config.management.options import RunningShopCommand
from coupons.services import templates
from inventory import queries
from inventory.services import catalog
from messaging.transactions import QueueUnavailable

_MONTH, _YEAR = timedelta(days=30), timedelta(days=365)


class Command(RunningShopCommand):
    help = "Put the sample articles on sale and create the sample buyers. What is there already stays as it is."

    def handle(self, *args: Any, **options: Any) -> None:
        logins = self._logins(self.data(options))
        self._put_coupons()
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
            self._welcome(registering.put_buyer(username=username, password=password))
        if missing:
            sample_data.remember_logins(data, logins | missing)
        return logins | missing

    def _welcome(self, buyer_id: int) -> None:
        """An address and some balance, unless the buyer had them before the file of passwords was lost."""
        if not queries_of_accounts.addresses_of(buyer_id):
            addresses.add_address(buyer_id=buyer_id, details=sample_data.HOME, key=f"seed-{buyer_id}", now=now())
        balance.credit(reference=f"welcome-{buyer_id}", buyer_id=buyer_id, cents=sample_data.WELCOME_CENTS, now=now())

    def _put_coupons(self) -> None:
        for rule in sample_data.COUPON_TEMPLATES:
            templates.put_template(
                **rule,
                grab_from=now(),
                grab_until=now() + _YEAR,
                stock=10_000,
                per_buyer_limit=10,
                valid_for=_MONTH,
            )
        templates.put_template(**sample_data.REWARD, stock=10_000, per_buyer_limit=1, valid_for=_MONTH)

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
                category=article.category,
                weight_grams=article.weight_grams,
                per_buyer_limit=article.per_buyer_limit,
                now=now(),
            )
        return [article.sku for article in missing]
