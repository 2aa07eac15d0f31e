"""Which messages are diverted, to where, and which are refused: `mq.broker.delay` without a broker."""

from pathlib import Path

import pytest

from mq.broker import delay
from mq.broker.config import BrokerConfig
from mq.broker.tests.wire import small_config
from mq.errors import InvalidMessage, ResponseError
from mq.message import Host, properties, sys_flag
from mq.message.record import RecordFields

NOW_MS = 1_700_000_000_123
CONFIG = small_config(Path("unused"))


def redirected(config: BrokerConfig = CONFIG, flags: int = 0, **asked: str) -> RecordFields:
    fields = RecordFields(
        "order-events", 3, b"body", properties.encode(asked), flags, 0, NOW_MS, Host("127.0.0.1", 50_000)
    )
    return delay.redirect(fields, asked, now_ms=NOW_MS, config=config)


def text_of(fields: RecordFields) -> dict[str, str]:
    return properties.decode(fields.properties_text)


class TestDelayLevel:
    def test_sends_a_message_to_the_queue_of_its_level(self):
        fields = redirected(DELAY="5")

        assert (fields.topic, fields.queue_id) == ("SCHEDULE_TOPIC_XXXX", 4)

    def test_remembers_where_the_message_belongs(self):
        fields = redirected(DELAY="1", KEYS="20240607")

        assert text_of(fields) == {"DELAY": "1", "KEYS": "20240607", "REAL_TOPIC": "order-events", "REAL_QID": "3"}

    def test_above_the_highest_counts_as_the_highest(self):
        fields = redirected(DELAY="99")

        assert fields.queue_id == 17
        assert text_of(fields)["DELAY"] == "18"

    def test_follows_the_configured_levels(self):
        fields = redirected(small_config(Path("unused"), delay_levels="1s 1m"), DELAY="18")

        assert fields.queue_id == 1

    @pytest.mark.parametrize("level", ["0", "-1", "soon", ""])
    def test_that_is_no_level_delays_nothing(self, level):
        assert redirected(DELAY=level).topic == "order-events"

    def test_wins_over_a_moment_which_is_forgotten(self):
        fields = redirected(DELAY="2", TIMER_DELAY_SEC="60", TIMER_DELAY_MS="5", TIMER_DELIVER_MS="9")

        assert fields.topic == "SCHEDULE_TOPIC_XXXX"
        assert not any(name.startswith("TIMER") for name in text_of(fields))

    @pytest.mark.parametrize("kind", [sys_flag.TRANSACTION_PREPARED, sys_flag.TRANSACTION_ROLLBACK])
    def test_is_not_for_transactions_that_are_not_committed(self, kind):
        assert redirected(flags=kind, DELAY="2").topic == "order-events"


class TestMoment:
    @pytest.mark.parametrize(
        "asked",
        [
            {"TIMER_DELAY_SEC": "60"},
            {"TIMER_DELAY_MS": "60000"},
            {"TIMER_DELIVER_MS": str(NOW_MS + 60_000)},
        ],
    )
    def test_sends_a_message_to_the_wheel_by_the_slot_before_it(self, asked):
        fields = redirected(**asked)

        assert (fields.topic, fields.queue_id) == ("rmq_sys_wheel_timer", 0)
        expected = {"TIMER_OUT_MS": "1700000060000", "REAL_TOPIC": "order-events", "REAL_QID": "3"}
        assert text_of(fields) == {**asked, **expected}

    def test_on_the_second_takes_the_second_before(self):
        fields = redirected(TIMER_DELIVER_MS="1700000060000")

        assert text_of(fields)["TIMER_OUT_MS"] == "1700000059000"

    def test_is_rounded_to_the_configured_precision(self):
        config = small_config(Path("unused"), timer_precision_ms=100)

        assert text_of(redirected(config, TIMER_DELIVER_MS="1700000060250"))["TIMER_OUT_MS"] == "1700000060200"
        assert text_of(redirected(config, TIMER_DELIVER_MS="1700000060200"))["TIMER_OUT_MS"] == "1700000060100"

    def test_in_seconds_is_looked_at_first_then_in_milliseconds(self):
        in_seconds = redirected(TIMER_DELAY_SEC="10", TIMER_DELAY_MS="20000", TIMER_DELIVER_MS=str(NOW_MS + 30_000))
        in_milliseconds = redirected(TIMER_DELAY_MS="20000", TIMER_DELIVER_MS=str(NOW_MS + 30_000))

        assert text_of(in_seconds)["TIMER_OUT_MS"] == "1700000010000"
        assert text_of(in_milliseconds)["TIMER_OUT_MS"] == "1700000020000"

    @pytest.mark.parametrize("asked", [{"TIMER_DELIVER_MS": str(NOW_MS)}, {"TIMER_DELAY_SEC": "-5"}])
    def test_that_has_passed_delays_nothing(self, asked):
        assert redirected(**asked).topic == "order-events"

    def test_three_days_ahead_is_the_furthest(self):
        assert redirected(TIMER_DELAY_SEC="259200").topic == "rmq_sys_wheel_timer"
        with pytest.raises(InvalidMessage, match="timerMaxDelaySec"):
            redirected(TIMER_DELAY_MS="259200001")

    @pytest.mark.parametrize("name", delay.TIMER_REQUESTS)
    @pytest.mark.parametrize("value", ["tomorrow", "1.5", "9" * 30])
    def test_that_is_no_number_is_refused(self, name, value):
        with pytest.raises(InvalidMessage, match=name):
            redirected(**{name: value})

    def test_is_not_kept_twice(self):
        """A delivered timer message that is sent again still says when it was due."""
        assert redirected(TIMER_DELAY_SEC="60", TIMER_OUT_MS="1700000060000").topic == "order-events"

    def test_is_refused_while_the_wheel_is_switched_off(self):
        config = small_config(Path("unused"), timer_wheel_enable=False)

        with pytest.raises(ResponseError, match="timerWheelEnable") as refusal:
            redirected(config, TIMER_DELAY_SEC="60")

        assert refusal.value.code == 1

    def test_that_has_passed_cannot_take_another_timer_back(self):
        with pytest.raises(InvalidMessage, match="taken back"):
            redirected(TIMER_DELIVER_MS=str(NOW_MS - 1), TIMER_DEL_UNIQKEY="order-events+A1")


class TestAnOrdinaryMessage:
    def test_stays_as_it_is(self):
        fields = redirected(KEYS="20240607")

        assert (fields.topic, fields.queue_id, text_of(fields)) == ("order-events", 3, {"KEYS": "20240607"})
