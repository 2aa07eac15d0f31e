from __future__ import annotations

import threading

import pytest
from django.db import connections

from messaging import deliveries, inbox
from messaging.models import InboxMessage
from messaging.tests import clockmaker
from messaging.tests.clockmaker import GROUP, SERVICE, ClockOrdered, received, registry_with, wind, wind_all

pytestmark = [
    pytest.mark.django_db(databases=[SERVICE], transaction=True),
    pytest.mark.usefixtures("workshop"),
]


def deliver(*events, registry=None):
    return deliveries.of([received(event) for event in events], group=GROUP, registry=registry or registry_with())


class TestApply:
    def test_has_the_effect_once_however_often_the_message_comes(self):
        for _ in range(3):
            inbox.apply(deliver(ClockOrdered(order_no="A1")))

        assert clockmaker.effects() == ["A1"]

    def test_gives_the_same_answers_again_until_they_are_marked_sent(self):
        first = inbox.apply(deliver(ClockOrdered(order_no="A1")))

        again = inbox.apply(deliver(ClockOrdered(order_no="A1")))
        inbox.mark_sent(again)

        assert again == first
        assert [message.tag for message in again[0].messages] == ["ClockWound"]
        assert inbox.apply(deliver(ClockOrdered(order_no="A1"))) == []

    def test_leaves_nothing_behind_when_the_handler_raises(self):
        def wind_and_fail(event):
            wind(event)
            raise ValueError("spring broke")

        with pytest.raises(ValueError, match="spring broke"):
            inbox.apply(deliver(ClockOrdered(order_no="A1"), registry=registry_with(wind_and_fail)))

        assert clockmaker.effects() == []
        assert not InboxMessage.objects.using(SERVICE).exists()

    def test_runs_a_batch_in_one_transaction_and_skips_what_is_known(self):
        sizes = []

        def counted(events):
            sizes.append(len(events))
            return wind_all(events)

        registry = registry_with(counted, batch=10)
        inbox.apply(deliver(ClockOrdered(order_no="B"), registry=registry))

        answers = inbox.apply(deliver(*(ClockOrdered(order_no=no) for no in "ABC"), registry=registry))

        assert sizes == [1, 2]
        assert sorted(clockmaker.effects()) == ["A", "B", "C"]
        assert [one.key for one in answers] == ["ClockOrdered:A", "ClockOrdered:B", "ClockOrdered:C"]

    def test_refuses_a_batch_handler_that_answers_too_seldom(self):
        with pytest.raises(TypeError, match="answered 1 times to 2 events"):
            inbox.apply(
                deliver(
                    ClockOrdered(order_no="A"),
                    ClockOrdered(order_no="B"),
                    registry=registry_with(lambda events: [[]], batch=10),
                )
            )

        assert not InboxMessage.objects.using(SERVICE).exists()

    def test_asks_a_third_party_outside_of_the_transaction_and_not_again_for_a_known_message(self):
        asked = []

        def ask(event):
            asked.append((event.order_no, connections[SERVICE].in_atomic_block))
            return "gold"

        def wind_in(event, metal):
            return wind(event) if metal == "gold" else []

        for _ in range(2):
            inbox.apply(deliver(ClockOrdered(order_no="A1"), registry=registry_with(wind_in, before=ask)))

        assert asked == [("A1", False)]
        assert clockmaker.effects() == ["A1"]

    def test_two_at_the_same_moment_have_one_effect_and_the_same_answers(self):
        """Guard: the unique key of the inbox; the second insert waits for the first transaction."""
        answers = {}

        def rival():
            answers["rival"] = inbox.apply(deliver(ClockOrdered(order_no="A1")))
            connections.close_all()

        thread = threading.Thread(target=rival)

        def wind_while_a_rival_waits(event):
            thread.start()
            clockmaker.wait_until_somebody_waits_for_a_lock()
            return wind(event)

        registry = registry_with(wind_while_a_rival_waits)
        answers["first"] = inbox.apply(deliver(ClockOrdered(order_no="A1"), registry=registry))
        thread.join(10)

        assert clockmaker.effects() == ["A1"]
        assert answers["rival"] == answers["first"] != []

    def test_a_rival_takes_over_when_the_first_fails(self):
        def rival():
            inbox.apply(deliver(ClockOrdered(order_no="A1")))
            connections.close_all()

        thread = threading.Thread(target=rival)

        def fail_while_a_rival_waits(event):
            thread.start()
            clockmaker.wait_until_somebody_waits_for_a_lock()
            raise ValueError("spring broke")

        with pytest.raises(ValueError, match="spring broke"):
            inbox.apply(deliver(ClockOrdered(order_no="A1"), registry=registry_with(fail_while_a_rival_waits)))
        thread.join(10)

        assert clockmaker.effects() == ["A1"]
