import pytest

from mq.broker.config import BrokerConfig
from mq.broker.foreign_keys import NO_EFFECT, REFUSED, sift
from mq.properties_file import ConfigError, keys_of


class TestSift:
    def test_tells_why_a_key_has_no_effect(self):
        kept, remarks = sift({"brokerName": "b", "sendMessageThreadPoolNums": "16"})

        assert kept == {"brokerName": "b"}
        assert remarks == [
            "sendMessageThreadPoolNums has no effect: one event loop serves everything, there are no thread pools"
        ]

    @pytest.mark.parametrize("key", REFUSED)
    def test_refuses_what_cannot_be_passed_over_and_says_nothing_of_the_rest(self, key):
        accepted, reason = REFUSED[key]

        assert sift({key: accepted}) == ({}, [])
        with pytest.raises(ConfigError, match=key) as error:
            sift({key: "something-else"})
        assert reason in str(error.value)

    def test_knows_no_key_that_the_broker_has(self):
        assert not set(keys_of(BrokerConfig)) & (set(NO_EFFECT) | set(REFUSED))
        assert not set(NO_EFFECT) & set(REFUSED)
