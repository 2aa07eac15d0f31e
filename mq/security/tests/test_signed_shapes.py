"""Headers read by their form give what reading them field by field gives, and nothing that was not signed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from mq.errors import RemoteProtocolError, ResponseError
from mq.remoting.binary_ext import BinaryExt, Shapes
from mq.remoting.codec import FrameDecoder, encode
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import SendMessageRequestHeaderV2
from mq.remoting.signature import Credentials, RequestSigner
from mq.security.accounts import Account, Accounts, Permission
from mq.security.guard import Guard
from mq.security.signed_shapes import SignedShapes

ACCOUNTS = Accounts([
    Account("orders-service", "a secret of its own", topics={"orders": Permission.PUB}),
    Account("stock-service", "and another one", topics={"stock": Permission.PUB}),
])  # fmt: skip
SIGNERS = {
    "orders": RequestSigner(Credentials("orders-service", "a secret of its own")),
    "stock": RequestSigner(Credentials("stock-service", "and another one")),
}


class Peer:
    """What a guard sees of a connection."""

    remote = "127.0.0.1:4711"

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}


def publishes(account: Account, fields: Any, body: bytes) -> str | None:
    return None if account.may_publish(fields["b"]) else f"publish to topic {fields['b']}"


def guard() -> Guard:
    return Guard(ACCOUNTS, {int(RequestCode.SEND_MESSAGE_V2): publishes})


def send(
    number: int, topic: str = "orders", signer: str = "orders", properties: str = "TAGS\x01paid"
) -> RemotingCommand:
    header = SendMessageRequestHeaderV2("senders", topic, "TBW102", 4, number % 10, 0, 1_700_000_000_000 + number, 0)
    header.properties = properties
    command = RemotingCommand.request(RequestCode.SEND_MESSAGE_V2, header, b"body %d" % number)
    command.is_binary = True
    SIGNERS[signer](command)
    return command


def arrived(command: RemotingCommand) -> RemotingCommand:
    (command,) = FrameDecoder().feed(encode(command))
    assert isinstance(command.raw_ext, BinaryExt)
    return command


class TestAConversation:
    def test_is_checked_by_its_form_and_gives_handlers_the_same(self, chance: random.Random):
        check, peer = guard(), Peer()
        by_form = 0
        for number in range(400):
            topic = chance.choice(["orders", "stock"])
            properties = chance.choice(["TAGS\x01paid", "TAGS\x01中文", "KEYS\x01" + "k" * chance.randrange(4)])
            sent = send(number, topic, topic, properties)
            command = arrived(sent)

            check(peer, command)  # type: ignore[arg-type]

            by_form += isinstance(command.raw_ext, BinaryExt)
            assert command.header(SendMessageRequestHeaderV2) == sent.header(SendMessageRequestHeaderV2)
        assert by_form > 200

    def test_is_refused_what_the_account_may_not(self):
        check, peer = guard(), Peer()
        for number in range(5):
            check(peer, arrived(send(number, "orders", "orders")))  # type: ignore[arg-type]

        with pytest.raises(ResponseError, match="account stock-service may not publish to topic orders"):
            check(peer, arrived(send(6, "orders", "stock")))  # type: ignore[arg-type]


def verdict(check: Guard, peer: Peer, command: RemotingCommand) -> str:
    try:
        check(peer, command)  # type: ignore[arg-type]
    except (ResponseError, RemoteProtocolError) as error:
        return str(error)
    return "passed"


class TestAChangedByte:
    def test_is_judged_as_by_a_connection_that_knows_no_form(self, chance: random.Random):
        """`signed_so` sees to it: a form says how a header is read, never that it is signed.

        A changed *name* may pass, here as there: RocketMQ signs values only.
        """
        check, peer = guard(), Peer()
        for number in range(5):
            check(peer, arrived(send(number)))  # type: ignore[arg-type]
        data = arrived(send(7)).raw_ext.data  # type: ignore[union-attr]
        assert peer.attributes["signed shapes"].read(data)

        refused = 0
        for at in range(len(data)):
            changed = data[:at] + bytes((data[at] ^ 1 << chance.randrange(8),)) + data[at + 1 :]
            known, new = arrived(send(7)), arrived(send(7))
            known.raw_ext, new.raw_ext = BinaryExt(changed, Shapes()), BinaryExt(changed, Shapes())
            judged = verdict(check, peer, known)
            assert judged == verdict(guard(), Peer(), new)
            refused += judged != "passed"
        assert refused > len(data) * 0.8

    def test_of_a_body_is_refused(self):
        check, peer = guard(), Peer()
        for number in range(5):
            check(peer, arrived(send(number)))  # type: ignore[arg-type]
        command = arrived(send(7))
        command.body = b"body 8"

        assert "check signature failed" in verdict(check, peer, command)


class TestForms:
    def field(self, name: bytes, value: bytes) -> bytes:
        return len(name).to_bytes(2, "big") + name + len(value).to_bytes(4, "big") + value

    @pytest.mark.parametrize("extra", [(b"a", b"twice"), (b"b", b"")], ids=["a name twice", "an empty value"])
    def test_are_not_learned_of_headers_that_can_be_read_in_two_ways(self, extra: tuple[bytes, bytes]):
        fields = [(b"a", b"1"), (b"AccessKey", b"orders-service"), (b"Signature", b"x" * 28)]
        plain = b"".join(self.field(*one) for one in fields)
        odd = plain + self.field(*extra)
        shapes = SignedShapes()

        shapes.learn(plain)
        shapes.learn(odd)

        assert shapes.read(plain) is not None
        assert shapes.read(odd) is None

    def test_are_bounded(self):
        shapes = SignedShapes()
        for length in range(1000):
            fields = [(b"a", b"v" * (length + 1)), (b"AccessKey", b"orders-service"), (b"Signature", b"x" * 28)]
            shapes.learn(b"".join(self.field(*one) for one in fields))

        assert len(shapes._by_length) <= 128
