"""`plain_acl.yml`: reads the accounts, and writes the first ones.

The file is RocketMQ's, in the part of YAML that it uses and no more: a list of accounts, each a few `key: value` lines
and lists of `name=PERMISSION`. Anything else is refused with its line, so nothing in it can be misread
([decision](../../docs/adr/0010-accounts-in-a-subset-of-yaml.md)).

```
accounts:
- accessKey: orders-service
  secretKey: ...
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: DENY
  topicPerms:
  - OrderPlaced=PUB|SUB
  groupPerms:
  - inventory=SUB
```
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mq.properties_file import ConfigError
from mq.security.accounts import Account, Accounts, Permission

logger = logging.getLogger(__name__)

MAX_FILE_BYTES: Final = 4 << 20
#: RocketMQ's rule: keys and secrets are longer than six characters.
MIN_KEY_LENGTH: Final = 7
#: Secrets that stand in samples of RocketMQ's: everybody knows them.
SAMPLE_SECRETS: Final = frozenset({"12345678", "1234567", "rocketmq", "RocketMQ"})

_LINE: Final = re.compile(r"(?P<indent> *)(?P<dash>- +|-$)?(?:(?P<key>[A-Za-z]\w*) *:(?: +|$))?(?P<value>.*)")
_LISTS: Final = frozenset({"topicPerms", "groupPerms"})
_TEXTS: Final = frozenset({"accessKey", "secretKey", "admin", "defaultTopicPerm", "defaultGroupPerm"})
_ADDRESSES: Final = frozenset({"whiteRemoteAddress", "globalWhiteRemoteAddresses"})


def open_accounts(path: Path) -> Accounts:
    """The accounts of a file; the first start, when there is no file, makes one with random secrets.

    Raises: ConfigError: it cannot be read or holds what is not allowed; the sentence names the line.
    """
    if not path.exists():
        create(path)
        logger.warning("access control is on and there were no accounts: %s now holds two, with random secrets", path)
    try:
        if path.stat().st_mode & 0o077:
            logger.warning("%s holds secrets and others may read it: chmod 600 %s", path, path)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is longer than {MAX_FILE_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"accounts file {path} cannot be read: {error}") from error
    return parse(text, str(path))


def create(path: Path) -> None:
    """Write a file with an administrator and an application, readable by its owner only.

    Raises: ConfigError: it cannot be written.
    """
    text = (
        "# Accounts of this broker (RocketMQ's plain_acl.yml). Keep it secret; a change counts within seconds.\n"
        "accounts:\n"
        f"- accessKey: millrace-admin\n  secretKey: {secrets.token_urlsafe(24)}\n  admin: true\n"
        f"- accessKey: millrace-app\n  secretKey: {secrets.token_urlsafe(24)}\n  admin: false\n"
        "  defaultTopicPerm: PUB|SUB\n  defaultGroupPerm: SUB\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"accounts file {path} cannot be written: {error.strerror}") from error


def parse(text: str, name: str = "plain_acl.yml") -> Accounts:
    """Raises: ConfigError: naming `name` and the line."""
    accounts: dict[str, Account] = {}
    for line_number, entries in _entries(text, name):
        try:
            account = _account(entries)
        except ValueError as error:
            raise ConfigError(f"{name}, account at line {line_number}: {error}") from error
        if account.access_key in accounts:
            raise ConfigError(f"{name}, account at line {line_number}: {account.access_key} is there twice")
        accounts[account.access_key] = account
    if not accounts:
        raise ConfigError(f"{name} has no accounts: nobody could use the broker")
    return Accounts(accounts.values())


Entry = dict[str, str | list[str]]


def _entries(text: str, name: str) -> Iterator[tuple[int, Entry]]:
    """Line number and raw entries of every account."""
    section, began, entry, items = "", 0, Entry(), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        if not line or line == "---":
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\t" in line:
            raise ConfigError(f"{name}, line {number}: cannot be understood")
        indent, dash, key, value = match["indent"], match["dash"], match["key"], match["value"].strip().strip("\"'")
        if not indent and not dash:
            if key not in ("accounts", "globalWhiteRemoteAddresses") or value:
                raise ConfigError(f"{name}, line {number}: accounts: is expected")
            section = key
            if key in _ADDRESSES:
                logger.warning("%s: %s is not honoured, an address never replaces a signature", name, key)
        elif section == "globalWhiteRemoteAddresses" and dash and not key:
            continue
        elif section == "accounts" and dash and key:
            if entry:
                yield began, entry
            began, entry = number, {}
            items = _put(entry, key, value, f"{name}, line {number}")
        elif section == "accounts" and entry and dash and value and not key:
            items.append(value)
        elif section == "accounts" and entry and indent and key:
            items = _put(entry, key, value, f"{name}, line {number}")
        else:
            raise ConfigError(f"{name}, line {number}: this is no account, key or permission")
    if entry:
        yield began, entry


def _put(entry: Entry, key: str, value: str, where: str) -> list[str]:
    """Take over `key: value`; returns the list that lines beginning with a dash go to."""
    if key in entry:
        raise ConfigError(f"{where}: {key} is there twice")
    if key in _LISTS and not value:
        entry[key] = items = list[str]()
        return items
    if key not in _TEXTS | _ADDRESSES:
        raise ConfigError(f"{where}: {key} is no key of an account")
    if key in _ADDRESSES and value:
        logger.warning("%s: %s is not honoured, an address never replaces a signature", where, key)
    entry[key] = value
    return []


def _account(entry: Entry) -> Account:
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    access_key, secret_key = texts.get("accessKey", ""), texts.get("secretKey", "")
    if min(len(access_key), len(secret_key)) < MIN_KEY_LENGTH:
        raise ValueError(f"accessKey and secretKey have at least {MIN_KEY_LENGTH} characters")
    if secret_key in SAMPLE_SECRETS:
        raise ValueError("this secretKey stands in a public sample: choose another")
    admin = texts.get("admin", "false")
    if admin not in ("true", "false"):
        raise ValueError(f"admin is true or false, not {admin}")
    return Account(
        access_key,
        secret_key,
        admin == "true",
        _permission(texts.get("defaultTopicPerm", "DENY")),
        _permission(texts.get("defaultGroupPerm", "DENY")),
        _permissions(entry.get("topicPerms", [])),
        _permissions(entry.get("groupPerms", [])),
    )


def _permissions(items: str | list[str]) -> dict[str, Permission]:
    table = {}
    for item in items:
        name, separator, words = item.partition("=")
        if not separator or not name.strip():
            raise ValueError(f"{item}: NAME=PERMISSION is expected")
        table[name.strip()] = _permission(words)
    return table


def _permission(words: str) -> Permission:
    permission = 0
    for word in words.split("|"):
        if word.strip() not in Permission.__members__:
            raise ValueError(f"{words} is no permission: DENY, PUB, SUB, PUB|SUB or ANY")
        permission |= Permission[word.strip()]
    return Permission(permission)
