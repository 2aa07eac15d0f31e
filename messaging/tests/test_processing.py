from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connections, transaction
from django.db.models.functions import Now
from psycopg.errors import DeadlockDetected

from messaging import deliveries, inbox, parking, processing
from messaging.models import ParkedMessage
from messaging.tests import clockmaker
from messaging.tests.clockmaker import (
    GROUP,
    SERVICE,
    ClockOrdered,
    ClockRepaired,
    received,
    registry_with,
    wind,
    wind_all,
)

pytestmark = [
    pytest.mark.django_db(databases=[SERVICE], transaction=True),
    pytest.mark.usefixtures("workshop"),
]


def process(*events, registry):
    return processing.process([received(event) for event in events], group=GROUP, registry=registry)


def ordered(*order_nos):
    return [ClockOrdered(order_no=no) for no in order_nos]


def refuses(*order_nos, batch=None):
    """A registry whose handler fails for these orders."""

    def handler(event):
        if event.order_no in order_nos:
            raise ValueError(f"no key fits {event.order_no}")
        return wind(event)

    return registry_with((lambda events: [handler(event) for event in events]) if batch else handler, batch=batch)


def parked():
    return list(ParkedMessage.objects.using(SERVICE).order_by("id").values_list("key", "reason", "attempts"))


class TestAFailingMessage:
    @pytest.mark.parametrize("batch", [None, 10])
    def test_is_parked_alone_while_its_neighbors_have_their_effect(self, batch):
        processed = process(*ordered("A", "BAD", "C"), registry=refuses("BAD", batch=batch))

        assert processed.failure is None
        assert [one.key for one in processed.answers] == ["ClockOrdered:A", "ClockOrdered:C"]
        assert clockmaker.effects() == ["A", "C"]
        assert parked() == [("ClockOrdered:BAD", "ValueError('no key fits BAD')", 1)]

    def test_holds_back_later_messages_of_its_order_only(self):
        process(*ordered("BAD"), registry=refuses("BAD"))

        process(ClockRepaired(order_no="BAD"), ClockRepaired(order_no="A"), registry=registry_with())

        assert clockmaker.effects() == ["A"]
        assert parked()[1:] == [("ClockRepaired:BAD", "waits for ClockOrdered:BAD", 0)]

    def test_is_parked_once_when_it_comes_again(self):
        for _ in range(2):
            process(*ordered("BAD"), registry=refuses("BAD"))

        assert len(parked()) == 1

    def test_does_not_park_an_earlier_one_that_only_comes_again(self):
        process(ClockRepaired(order_no="BAD"), registry=registry_with())
        process(*ordered("BAD"), registry=refuses("BAD"))

        again = process(ClockRepaired(order_no="BAD"), registry=registry_with())

        assert [one.key for one in again.answers] == ["ClockRepaired:BAD"]
        assert len(parked()) == 1

    @pytest.mark.parametrize("body", [b"not json", b'{"v":99,"order_no":"A1"}'])
    def test_that_nobody_can_read_is_parked_and_its_batch_goes_on(self, body):
        registry = registry_with(wind_all, batch=10)
        messages = [received(ClockOrdered(order_no="A1"), body=body), received(ClockOrdered(order_no="B2"))]

        processed = processing.process(messages, group=GROUP, registry=registry)

        assert processed.failure is None
        assert clockmaker.effects() == ["B2"]
        assert [key for key, _, _ in parked()] == ["ClockOrdered:A1"]

    def test_that_lost_a_race_is_tried_again_at_once(self):
        tries = []

        def handler(event):
            tries.append(event)
            if len(tries) == 1:
                raise OperationalError("deadlock detected") from DeadlockDetected()
            return wind(event)

        process(*ordered("A1"), registry=registry_with(handler))

        assert (len(tries), clockmaker.effects(), parked()) == (2, ["A1"], [])


class TestACopyInTheSameBatch:
    @pytest.mark.parametrize("batch", [None, 10])
    def test_has_no_second_effect_even_without_the_sharding_key(self, batch):
        """Protects `last_run_of_key` in deliveries.runs: a console that sends a message again drops the property."""
        event = ClockOrdered(order_no="A1")
        copy = received(event)
        del copy.properties["__SHARDINGKEY"]

        processed = processing.process(
            [received(event), copy],
            group=GROUP,
            registry=registry_with(wind_all if batch else wind, batch=batch),
        )

        assert processed.failure is None
        assert (clockmaker.effects(), parked()) == (["A1"], [])


class TestAnUnreachableDatabase:
    def test_parks_nothing_and_hands_the_failure_up_with_what_was_done_before(self):
        def handler(event):
            if event.order_no == "B":
                raise OperationalError("server closed the connection unexpectedly")
            return wind(event)

        processed = process(*ordered("A", "B", "C"), registry=registry_with(handler))

        assert isinstance(processed.failure, OperationalError)
        assert [one.key for one in processed.answers] == ["ClockOrdered:A"]
        assert (clockmaker.effects(), parked()) == (["A"], [])


class TestRetryParked:
    def park_two(self):
        process(*ordered("BAD"), ClockRepaired(order_no="BAD"), registry=refuses("BAD"))

    def retry(self, registry):
        return processing.retry_parked(SERVICE, GROUP, "BAD", registry=registry)

    def test_goes_through_them_in_order_once_the_cause_is_gone(self):
        self.park_two()

        taken = []
        while found := self.retry(registry_with(lambda event: clockmaker.record_effect(event.tag))):
            taken.append(found[0].key)
            parking.take_out(SERVICE, found[0])

        assert taken == ["ClockOrdered:BAD", "ClockRepaired:BAD"]
        assert clockmaker.effects() == ["ClockOrdered", "ClockRepaired"]
        assert parked() == []

    def test_keeps_it_until_its_answers_are_sent(self):
        """Guard: the parked row stays until `take_out`; a crash before makes the stored answers be sent again."""
        self.park_two()
        first = self.retry(registry_with())

        again = self.retry(registry_with())

        assert first is not None
        assert again is not None
        assert again[1] == first[1] != []
        assert clockmaker.effects() == ["BAD"]

    def test_waits_longer_after_each_failure_and_in_the_end_for_a_person(self):
        self.park_two()
        waits_s = []
        for _ in range(parking.AUTOMATIC_TRIES - 1):
            assert self.retry(refuses("BAD")) is None
            first = ParkedMessage.objects.using(SERVICE).annotate(now=Now()).order_by("id")[0]
            if first.next_attempt_at is not None:
                waits_s.append(round((first.next_attempt_at - first.now).total_seconds()))

        assert waits_s == [2**n for n in range(1, parking.AUTOMATIC_TRIES - 1)]
        assert parked()[0][2] == parking.AUTOMATIC_TRIES
        assert parking.due(SERVICE) == []

    def test_is_due_a_moment_after_it_was_parked(self):
        self.park_two()
        assert parking.due(SERVICE) == []

        ParkedMessage.objects.using(SERVICE).filter(next_attempt_at__isnull=False).update(next_attempt_at=Now())

        assert parking.due(SERVICE) == [(GROUP, "BAD")]

    def test_notes_that_nobody_handles_it_any_more(self):
        self.park_two()

        assert self.retry(registry_with(events=(ClockRepaired,))) is None

        assert "no longer has a handler" in parked()[0][1]


class TestParkBehind:
    def test_waits_for_what_is_just_being_taken_out_and_then_lets_the_message_pass(self):
        """Guard: the advisory lock; without it the message would be parked behind nothing, for ever."""
        process(*ordered("BAD"), registry=refuses("BAD"))
        (later,) = deliveries.of([received(ClockRepaired(order_no="BAD"))], group=GROUP, registry=registry_with())

        def park_behind():
            try:
                return parking.park_behind(later)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as threads:
            with transaction.atomic(using=SERVICE):
                parking.take_out(SERVICE, ParkedMessage.objects.using(SERVICE).get())
                is_parked = threads.submit(park_behind)
                clockmaker.wait_until_somebody_waits_for_a_lock()

            assert is_parked.result(10) is False
        assert parked() == []


class TestMarkSent:
    def test_makes_a_redelivered_message_send_nothing(self):
        processed = process(*ordered("A", "B"), registry=registry_with())
        inbox.mark_sent(processed.answers)

        assert process(*ordered("A", "B"), registry=registry_with()).answers == []
