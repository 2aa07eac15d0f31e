import pytest

from mq.client.settings import name_server_addresses
from mq.client.subscription import Subscription
from mq.errors import InvalidMessage


class TestSubscription:
    @pytest.mark.parametrize(
        ("tags", "expression"),
        [
            ("*", "*"),
            ("", "*"),
            ([], "*"),
            ("B||A", "A || B"),
            (" A || B ||", "A || B"),
            (["OrderPaid", "OrderClosed"], "OrderClosed || OrderPaid"),
        ],
    )
    def test_reads_tags_as_rocketmq_writes_them(self, tags: str | list[str], expression: str) -> None:
        assert Subscription.parse("order-events", tags, 1).expression == expression

    def test_matches_by_text(self) -> None:
        subscription = Subscription.parse("order-events", "AaAa || C", 1)

        assert subscription.matches("AaAa")
        assert not subscription.matches("BBBB"), "the same hash as AaAa, another tag"
        assert not subscription.matches(None)

    def test_of_everything_matches_messages_without_a_tag(self) -> None:
        assert Subscription.parse("order-events", "*", 1).matches(None)

    def test_refuses_separators_without_a_tag(self) -> None:
        with pytest.raises(InvalidMessage, match="names no tag"):
            Subscription.parse("order-events", " || ", 1)

    def test_refuses_an_illegal_topic(self) -> None:
        with pytest.raises(InvalidMessage, match="order events"):
            Subscription.parse("order events", "*", 1)


class TestNameServerAddresses:
    def test_come_from_the_environment_when_none_are_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MQ_NAMESRV_ADDR", "10.0.0.1:9876; 10.0.0.2:9876;")

        assert name_server_addresses(None) == ("10.0.0.1:9876", "10.0.0.2:9876")

    def test_default_to_this_machine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MQ_NAMESRV_ADDR", raising=False)

        assert name_server_addresses(None) == ("127.0.0.1:9876",)

    @pytest.mark.parametrize("wrong", ["localhost", "localhost:", ":9876", "localhost:70000", " ; "])
    def test_are_refused_with_a_sentence(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="name server address"):
            name_server_addresses(wrong)
