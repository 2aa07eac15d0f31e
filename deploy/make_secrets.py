"""Make the secrets of the shop in containers: `python3 deploy/make_secrets.py`, once, before `docker compose up`.

Layout: `.env` beside docker-compose.yml, a line `NAME=value` for each secret, which compose reads by itself; and
`deploy/secrets/plain_acl.yml`, the broker's accounts. Both are readable by their owner only (the second by the
containers' group as well), random, and never replaced: a password that a database knows already must not change.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
SERVICES = ("accounts", "coupons", "fulfillment", "inventory", "notifications", "orders", "payments")
CONTAINER_GROUP = 10001

ACCOUNTS = """\
accounts:
- accessKey: millrace
  secretKey: {application}
  admin: false
  defaultTopicPerm: PUB|SUB
  defaultGroupPerm: PUB|SUB
- accessKey: operator
  secretKey: {operator}
  admin: true
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=PROJECT, help="where docker-compose.yml lies")
    directory = parser.parse_args().directory
    environment, accounts = directory / ".env", directory / "deploy" / "secrets" / "plain_acl.yml"
    if environment.exists() or accounts.exists():
        print(f"{environment} or {accounts} is there already and stays as it is.", file=sys.stderr)
        return 1
    application, operator = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    values = {
        "MILLRACE_SECRET_KEY": secrets.token_urlsafe(48),
        "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
        **{f"PASSWORD_{service.upper()}": secrets.token_urlsafe(24) for service in SERVICES},
        "REDIS_PASSWORD": secrets.token_urlsafe(24),
        "MQ_SECRET_KEY": application,
        "MQ_OPERATOR_SECRET_KEY": operator,
    }
    write(environment, "".join(f"{name}={value}\n" for name, value in values.items()), 0o600)
    write(accounts, ACCOUNTS.format(application=application, operator=operator), 0o640)
    if os.geteuid() == 0:
        os.chown(accounts, -1, CONTAINER_GROUP)
    print(f"Secrets are in {environment} and {accounts}. Next: docker compose up --build")
    return 0


def write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
