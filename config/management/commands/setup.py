from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.db import connections, router
from django.db.migrations.executor import MigrationExecutor

from config.data_directory import socket_directory
from config.embedded.postgres import EmbeddedPostgres
from config.environment import SERVICES, environment
from config.management.options import ShopCommand
from messaging import topics
from mq.errors import MQError


class Command(ShopCommand):
    help = "Bring databases, topics and sample data up to date; `up` runs it before the shop opens."

    def handle(self, *args: Any, **options: Any) -> None:
        create_databases(self.data(options))
        migrate()
        try:
            asyncio.run(topics.create(topics.of_services(SERVICES), namesrv=settings.MQ_NAMESRV_ADDR))
        except MQError as error:
            self.refuse(f"The topics cannot be created at {settings.MQ_NAMESRV_ADDR}: {error}")
        if "seed" in get_commands():
            call_command("seed")


def create_databases(data: Path) -> None:
    """A database per service on the embedded server; external servers are looked after by whoever runs them."""
    embedded = [service for service in SERVICES if environment().database_url(service) is None]
    if embedded:
        EmbeddedPostgres(data / "postgres", socket_directory(data), {}).create_databases(embedded)


def migrate() -> None:
    """Migrate what is behind, in each database the tables that live there.

    Not by the command `migrate`: it would go through every service's migrations in every database, and not make them.
    """
    for service in SERVICES:
        executor = MigrationExecutor(connections[service])
        nodes = executor.loader.graph.leaf_nodes()
        targets = [node for node in nodes if router.allow_migrate(service, node[0])]
        plan = executor.migration_plan(targets)
        if plan:
            executor.migrate(targets, plan)
