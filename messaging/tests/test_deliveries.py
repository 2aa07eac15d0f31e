from __future__ import annotations

import random

from messaging import deliveries
from messaging.deliveries import Delivery
from messaging.registry import Consumer, Registry
from messaging.tests.clockmaker import (
    GROUP,
    SERVICE,
    TOPIC,
    ClockOrdered,
    ClockRepaired,
    ClockWound,
    received,
    registry_with,
    wind,
    wind_all,
)


def delivered(*events, registry):
    return deliveries.of([received(event) for event in events], group=GROUP, registry=registry)


def shape(runs):
    return [[(one.tag, one.sharding_key) for one in run] for run in runs]


class TestDelivery:
    def test_is_known_by_tag_and_business_key_not_by_message_id(self):
        first, second = delivered(ClockOrdered(order_no="A1"), ClockOrdered(order_no="A1"), registry=registry_with())

        assert first.key == second.key == "ClockOrdered:A1"
        assert first.message_id != second.message_id

    def test_of_a_tag_nobody_wants_is_left_out(self):
        assert delivered(ClockWound(order_no="A1"), registry=registry_with()) == []

    def test_without_keys_stands_for_itself(self):
        message = received(ClockOrdered(order_no="A1"))
        del message.properties["KEYS"], message.properties["__SHARDINGKEY"]

        (delivery,) = deliveries.of([message], group=GROUP, registry=registry_with())

        assert delivery.key == delivery.sharding_key == f"ClockOrdered:{message.message_id}"

    def test_has_keys_that_the_database_can_hold_whatever_a_stranger_sent(self):
        message = received(ClockOrdered(order_no="A1"))
        message.properties |= {"KEYS": "k" * 30_000, "__SHARDINGKEY": "zero\0", "UNIQ_KEY": "u" * 9000}

        (delivery,) = deliveries.of([message], group=GROUP, registry=registry_with())

        assert max(len(delivery.key), len(delivery.sharding_key)) <= 200
        assert len(delivery.message_id) == 64
        assert "\0" not in delivery.sharding_key


class TestRuns:
    def test_single_handlers_get_a_transaction_each(self):
        registry = registry_with(wind)

        runs = deliveries.runs(delivered(ClockOrdered(order_no="A1"), ClockOrdered(order_no="B2"), registry=registry))

        assert shape(runs) == [[("ClockOrdered", "A1")], [("ClockOrdered", "B2")]]

    def test_a_batch_collects_past_other_orders_but_never_past_its_own(self):
        registry = Registry()
        registry.add(Consumer(wind_all, SERVICE, GROUP, TOPIC, (ClockOrdered,), True, 10))
        registry.add(Consumer(wind_all, SERVICE, GROUP, TOPIC, (ClockRepaired,), True, 10))

        runs = deliveries.runs(
            delivered(
                ClockOrdered(order_no="A1"),
                ClockRepaired(order_no="A1"),
                ClockOrdered(order_no="B2"),
                ClockOrdered(order_no="A1", version=2),
                registry=registry,
            )
        )

        assert shape(runs) == [
            [("ClockOrdered", "A1"), ("ClockOrdered", "B2")],
            [("ClockRepaired", "A1")],
            [("ClockOrdered", "A1")],
        ]

    def test_a_copy_that_lost_its_sharding_key_is_told_apart_by_a_run_of_its_own(self):
        event = ClockOrdered(order_no="A1")
        copy = received(event)
        del copy.properties["__SHARDINGKEY"]
        registry = registry_with(wind_all, batch=10)

        runs = deliveries.runs(deliveries.of([received(event), copy], group=GROUP, registry=registry))

        assert shape(runs) == [[("ClockOrdered", "A1")], [("ClockOrdered", "ClockOrdered:A1")]]

    def test_keeps_the_order_of_every_sharding_key_and_the_limits_of_every_batch(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        registry = Registry()
        registry.add(Consumer(wind_all, SERVICE, GROUP, TOPIC, (ClockOrdered,), True, 3))
        registry.add(Consumer(wind, SERVICE, GROUP, TOPIC, (ClockRepaired,), True, None))
        given = delivered(
            *(chance.choice([ClockOrdered, ClockRepaired])(order_no=chance.choice("ABCDEF")) for _ in range(300)),
            registry=registry,
        )

        runs = deliveries.runs(given)

        for sharding_key in "ABCDEF":
            assert about(sharding_key, [one for run in runs for one in run]) == about(sharding_key, given)
        assert all(len({one.sharding_key for one in run}) == len(run) <= (run[0].consumer.batch or 1) for run in runs)
        assert all(len({one.consumer for one in run}) == 1 for run in runs)


def about(sharding_key: str, given: list[Delivery]) -> list[str]:
    return [one.message_id for one in given if one.sharding_key == sharding_key]
