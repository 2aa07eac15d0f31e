"""The check in front of every handler: is the request signed, and may this account ask for that?

A server has one table, request code to rule. A code without a row is refused whoever asks, so a handler somebody adds
is shut until a row says who may use it. With access control off the rows still have to be there (`only_listed`), and
that is all: nothing is checked per request.

What a handler reads are the very bytes that were checked, and they can be read in one way only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from mq.errors import ResponseError
from mq.remoting import ext_fields
from mq.remoting.binary_ext import BinaryExt
from mq.remoting.codes import RequestCode, ResponseCode
from mq.remoting.command import RemotingCommand
from mq.remoting.connection import Connection, Handler
from mq.remoting.signature import ACCESS_KEY
from mq.security.accounts import Account, Accounts
from mq.security.signed_shapes import Fields, SignedShapes

logger = logging.getLogger(__name__)

#: Given the account, the fields and the body: None if it may, else what it may not, such as "publish to topic T".
Rule = Callable[[Account, Mapping[str, str], bytes], str | None]
_ACCOUNT: Final = "account"
_SHAPES: Final = "signed shapes"


def anyone(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    """Whoever has an account."""
    return None


def administrator(account: Account, fields: Mapping[str, str], body: bytes) -> str | None:
    return None if account.admin else "administrate"


class Guard:
    def __init__(self, accounts: Accounts, rules: Mapping[int, Rule]) -> None:
        self._accounts = accounts
        self._rules = rules

    def __call__(self, connection: Connection, command: RemotingCommand) -> None:
        """Raises: ResponseError: 16, with one sentence for an unknown account and for a wrong signature."""
        rule = self._rules.get(command.code)
        if rule is None:
            raise unlisted(command.code)
        fields, account = self._known(connection, command) or self._unknown(connection, command)
        connection.attributes[_ACCOUNT] = account
        missing = rule(account, fields, command.body)
        if missing is not None:
            sentence = f"account {account.access_key} may not {missing} (request code {command.code})"
            _note(connection, sentence)
            raise _refusal(sentence)

    def _known(self, connection: Connection, command: RemotingCommand) -> tuple[Fields, Account] | None:
        """Fields and account of a header of a form that this connection has shown; None: a closer look is needed."""
        raw, shapes = command.raw_ext, connection.attributes.get(_SHAPES)
        signed = shapes.read(raw.data) if shapes is not None and isinstance(raw, BinaryExt) else None
        if signed is None:
            return None
        access_key, signature, content, fields = signed
        account = self._accounts.signed_so(access_key, signature, content, command.body)
        return (fields, account) if account is not None else None

    def _unknown(self, connection: Connection, command: RemotingCommand) -> tuple[dict[str, str], Account]:
        raw = command.raw_ext
        fields = command.raw_ext = ext_fields.decode(raw)
        account = self._accounts.signed_by(fields, command.body)
        if account is None:
            connection.attributes.pop(_ACCOUNT, None)
            _note(connection, f"request code {command.code} is not signed by an account here")
            raise _refusal(f"check signature failed: no such account, or a wrong Signature ({ACCESS_KEY}, Signature)")
        if isinstance(raw, BinaryExt):
            connection.attributes.setdefault(_SHAPES, SignedShapes()).learn(raw.data)
        return fields, account


def account_of(connection: Connection) -> Account | None:
    """Who sent the last request on a connection; None when nobody has to say."""
    return connection.attributes.get(_ACCOUNT)


def who_asks(connection: Connection) -> str:
    """The sender of the last request, for the log."""
    account = account_of(connection)
    return f"{account.access_key if account else 'somebody'} at {connection.remote}"


def only_listed(handlers: Mapping[int, Handler], rules: Mapping[int, Rule]) -> dict[int, Handler]:
    """The handlers, with those that have no row in the table refusing everybody."""
    return {code: handler if code in rules else _refuse for code, handler in handlers.items()}


def unlisted(code: int) -> ResponseError:
    name = RequestCode(code).name if code in RequestCode.__members__.values() else "unknown"
    return _refusal(f"request code {code} ({name}) is not in the table of permissions: nobody may use it")


def _refuse(connection: Connection, command: RemotingCommand) -> RemotingCommand:
    raise unlisted(command.code)


def _refusal(sentence: str) -> ResponseError:
    return ResponseError(ResponseCode.NO_PERMISSION, sentence)


def _note(connection: Connection, sentence: str) -> None:
    """Log the first refusal of a connection: enough to find a wrong setting, too little to fill a disk."""
    if not connection.attributes.get("refused"):
        connection.attributes["refused"] = True
        logger.warning("%s refused: %s", connection.remote, sentence)
