from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connections, transaction

from messaging import transactions
from messaging.models import TransactionOutcome
from messaging.testing import RecordedQueue
from messaging.tests import clockmaker
from messaging.tests.clockmaker import SERVICE, ClockOrdered, received
from messaging.transactions import KEY_PROPERTY, Overtaken, QueueUnavailable, check_back, send_in_transaction
from mq.client import TransactionState
from mq.errors import ConnectionLost

pytestmark = [
    pytest.mark.django_db(databases=[SERVICE], transaction=True),
    pytest.mark.usefixtures("workshop"),
]

EVENT = ClockOrdered(order_no="A1")


def half_of(message, *, age_ms=0):
    """The broker's question about a half message, `age_ms` after it was sent; it stores it anew for each question."""
    now_ms = round(time.time() * 1000)
    half = received(EVENT, born_timestamp_ms=now_ms - age_ms, store_timestamp_ms=now_ms)
    half.properties[KEY_PROPERTY] = message.properties[KEY_PROPERTY]
    return half


MOMENTS = ("long before the work", "before the work", "during the work", "at its end")
OVERDUE_MS = round(transactions.DEADLINE.total_seconds() * 1000) + 1


def ask(queue, *, age_ms=0):
    return check_back(half_of(queue.halves[-1][0], age_ms=age_ms), using=SERVICE)


def order():
    clockmaker.record_effect("A1")
    return "ticking"


class TestSendInTransaction:
    def test_shows_the_event_once_the_work_is_committed(self):
        queue = RecordedQueue()

        assert send_in_transaction(EVENT, order, using=SERVICE, sender=queue) == "ticking"

        assert [message.keys for message in queue.shown()] == [("A1",)]
        assert clockmaker.effects() == ["A1"]

    def test_drops_the_event_with_the_work(self):
        queue = RecordedQueue()

        def fail():
            order()
            raise ValueError("no springs left")

        with pytest.raises(ValueError, match="no springs left"):
            send_in_transaction(EVENT, fail, using=SERVICE, sender=queue)

        assert [state for _, state in queue.halves] == [TransactionState.ROLLBACK]
        assert clockmaker.effects() == []

    def test_does_no_work_when_the_queue_does_not_take_the_event(self):
        queue = RecordedQueue()
        queue.failure = ConnectionLost("broker gone")

        with pytest.raises(QueueUnavailable, match="broker gone"):
            send_in_transaction(EVENT, order, using=SERVICE, sender=queue)

        assert clockmaker.effects() == []

    def test_refuses_to_run_inside_a_transaction_that_may_still_fail(self):
        with transaction.atomic(using=SERVICE), pytest.raises(RuntimeError, match="durable"):
            send_in_transaction(EVENT, order, using=SERVICE, sender=RecordedQueue())

    def test_leaves_a_failed_commit_to_the_check_back(self):
        """Guard: only an error before the end of the work says ROLLBACK; how a commit went, the database tells."""
        queue = RecordedQueue()

        def lose_the_connection():
            order()
            with connections[SERVICE].cursor() as cursor, pytest.raises(OperationalError):
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

        with pytest.raises(OperationalError):
            send_in_transaction(EVENT, lose_the_connection, using=SERVICE, sender=queue)
        connections[SERVICE].close()

        assert [state for _, state in queue.halves] == [None]
        assert ask(queue, age_ms=OVERDUE_MS) is TransactionState.ROLLBACK
        assert clockmaker.effects() == []


class TestCheckBack:
    def test_commits_what_committed_however_old(self):
        queue = RecordedQueue()
        send_in_transaction(EVENT, order, using=SERVICE, sender=queue)

        assert ask(queue) is ask(queue, age_ms=OVERDUE_MS) is TransactionState.COMMIT

    def test_knows_nothing_of_young_work_that_left_no_trace(self):
        queue = RecordedQueue()
        queue.send_half(EVENT.to_message(properties={KEY_PROPERTY: "k"}))

        assert ask(queue) is TransactionState.UNKNOWN
        assert not TransactionOutcome.objects.using(SERVICE).exists()

    def test_gives_up_overdue_work_for_good(self):
        queue = RecordedQueue()
        queue.send_half(EVENT.to_message(properties={KEY_PROPERTY: "k"}))

        assert ask(queue, age_ms=OVERDUE_MS) is TransactionState.ROLLBACK
        assert ask(queue) is TransactionState.ROLLBACK

    def test_knows_nothing_of_a_half_message_of_somebody_else(self):
        assert check_back(received(EVENT), using=SERVICE) is TransactionState.UNKNOWN


class TestLateWork:
    """The outcome row has a unique key, and both sides insert it: exactly one of COMMIT and ROLLBACK can ever be."""

    def test_fails_when_it_was_given_up(self):
        queue = RecordedQueue()

        def ask_first(message):
            half = RecordedQueue.send_half(queue, message)
            assert ask(queue, age_ms=OVERDUE_MS) is TransactionState.ROLLBACK
            return half

        queue.send_half = ask_first  # type: ignore[method-assign]
        with pytest.raises(Overtaken):
            send_in_transaction(EVENT, order, using=SERVICE, sender=queue)

        assert clockmaker.effects() == []
        assert queue.shown() == []

    def test_that_is_still_running_is_unknown_and_then_committed(self, monkeypatch):
        monkeypatch.setattr(transactions, "_LOCK_TIMEOUT", "50ms")
        queue = RecordedQueue()
        answers = []

        def work():
            order()
            with ThreadPoolExecutor(1) as threads:
                answers.append(threads.submit(in_own_connection, ask, queue, age_ms=OVERDUE_MS).result())

        send_in_transaction(EVENT, work, using=SERVICE, sender=queue)

        assert answers == [TransactionState.UNKNOWN]
        assert ask(queue, age_ms=OVERDUE_MS) is TransactionState.COMMIT

    def test_and_an_overdue_check_back_at_the_same_moment_agree_a_hundred_times(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        with ThreadPoolExecutor(1) as threads:
            ends = [self.race(f"R{number}", chance.choice(MOMENTS), threads) for number in range(100)]
            threads.submit(connections.close_all)

        assert all(is_done == (answer is TransactionState.COMMIT) for is_done, answer in ends)
        assert {is_done for is_done, _ in ends} == {True, False}, "the race was never open"

    def race(self, order_no, moment, threads):
        """Whether the work was done, and what the broker was told, when it asked at that moment of the work."""
        queue = RecordedQueue()
        take = queue.send_half
        asked = []

        def ask_at(now):
            if now == moment:
                asked.append(threads.submit(ask, queue, age_ms=OVERDUE_MS))

        def send_half(message):
            half = take(message)
            ask_at("before the work")
            ask_at("long before the work")
            if moment == "long before the work":
                asked[0].result(10)
            return half

        def work():
            ask_at("during the work")
            clockmaker.record_effect(order_no)
            ask_at("at its end")

        queue.send_half = send_half  # type: ignore[method-assign]
        with contextlib.suppress(Overtaken):
            send_in_transaction(EVENT, work, using=SERVICE, sender=queue)
        return order_no in clockmaker.effects(), asked[0].result(10)


def in_own_connection(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    finally:
        connections.close_all()
