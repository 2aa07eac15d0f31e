import pytest

from mq.remoting import signature
from mq.remoting.command import RemotingCommand
from mq.remoting.signature import Credentials, RequestSigner, Signer


class TestSign:
    def test_agrees_with_java_on_a_route_query(self):
        assert Signer("sk").sign({"topic": "T", "AccessKey": "ak"}, b"") == "vX6jW2Q9g11lvMjNC+gReuZ8fTQ="

    def test_agrees_with_java_on_a_send_with_a_token(self):
        fields = {"a": "PG", "b": "T", "SecurityToken": "tok", "AccessKey": "ak"}

        assert Signer("sk").sign(fields, b"hello") == "ItpMPS3hb4gy8FI6IrFNmSWsywk="

    def test_takes_keys_longer_than_a_block(self):
        assert Signer("k" * 100).sign({}, b"x") != Signer("k" * 99).sign({}, b"x")

    def test_orders_names_as_java_does(self):
        # By UTF-16 units a name outside the basic plane comes before U+FF5E, by code points after it.
        fields = {"\U0001f600": "first", "\uff5e": "second"}

        assert Signer("secret").sign(fields, b"") == Signer("secret").sign({"a": "first", "b": "second"}, b"")


class TestRememberedNames:
    def test_of_strangers_fill_no_memory(self):
        signer = Signer("secret-key")
        for number in range(2 * signature._ORDERS_KEPT):
            signer.is_signed({f"name-{number}": "v", "other": "v"}, b"")
        signer.is_signed({"n" * 100_000: "v", "other": "v"}, b"")

        assert len(signature._orders) <= signature._ORDERS_KEPT
        assert max(len(name) for names in signature._orders for name in names) <= signature._NAMES_KEPT_LENGTH


class TestIsSigned:
    def test_holds_for_what_was_signed_and_for_nothing_else(self):
        signer = Signer("secret-key")
        fields = {"AccessKey": "shop", "topic": "T"}
        signed = fields | {"Signature": signer.sign(fields, b"body")}

        assert signer.is_signed(signed, b"body")
        assert not signer.is_signed(signed, b"Body")
        assert not signer.is_signed(signed | {"topic": "U"}, b"body")
        assert not signer.is_signed(signed | {"more": "x"}, b"body")
        assert not signer.is_signed(fields, b"body")
        assert not Signer("another").is_signed(signed, b"body")

    def test_accepts_clients_that_sign_the_kind_of_query_and_those_that_do_not(self):
        signer = Signer("secret-key")
        fields = {"AccessKey": "shop", "key": "k"}
        query = fields | {"_UNIQUE_KEY_QUERY": "true"}

        assert signer.is_signed(query | {"Signature": signer.sign(query, b"")}, b"")
        assert signer.is_signed(query | {"Signature": signer.sign(fields, b"")}, b"")

    @pytest.mark.parametrize("given", ["", "no base64", "é", "\ud800"])
    def test_is_false_for_what_is_no_signature(self, given):
        assert not Signer("secret-key").is_signed({"Signature": given}, b"")


class TestRequestSigner:
    def test_signs_a_request_again_when_it_is_sent_again(self):
        sign = RequestSigner(Credentials("shop-app", "secret-key", "token"))
        command = RemotingCommand.request(105, {"topic": "T"})

        sign(command)
        once = dict(command.ext_fields)
        sign(command)

        assert command.ext_fields == once
        assert Signer("secret-key").is_signed(once, b"")
        assert once["SecurityToken"] == "token"


def test_credentials_do_not_show_their_secret():
    assert "secret" not in repr(Credentials("shop-app", "secret-key", "secret-token"))
