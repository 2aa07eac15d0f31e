from __future__ import annotations

import secrets
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management.base import CommandError, CommandParser

from backoffice import roles
from config.management.options import RunningShopCommand, add_data


class Command(RunningShopCommand):
    help = "Give somebody an account for the staff's pages, with the roles named, and print its password once."

    def add_arguments(self, parser: CommandParser) -> None:
        add_data(parser)
        parser.add_argument("username")
        parser.add_argument("roles", nargs="*", metavar="ROLE", help=f"any of {', '.join(roles.ROLES)}")
        parser.add_argument("--manager", action="store_true", help="every role, and the accounts of the others")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        unknown = sorted(set(options["roles"]) - set(roles.ROLES))
        if unknown:
            raise CommandError(f"no such role: {', '.join(unknown)}; there are {', '.join(roles.ROLES)}", returncode=2)
        if not options["roles"] and not options["manager"]:
            raise CommandError(f"name a role ({', '.join(roles.ROLES)}) or --manager", returncode=2)
        roles.sync()
        password = secrets.token_urlsafe(12)
        user, _ = User.objects.get_or_create(username=username)
        user.set_password(password)
        user.is_staff, user.is_superuser = True, options["manager"]
        user.save()
        user.groups.set(Group.objects.filter(name__in=options["roles"]))
        self.stdout.write(f"{username} may log in with the password {password}")
