from collections.abc import Sequence

import pytest

from mq.client.allocation import allocate_averagely, sort_queues
from mq.message import MessageQueue


def queues(count: int) -> list[MessageQueue]:
    return [MessageQueue("order-events", "broker-a", queue_id) for queue_id in range(count)]


def java_avg(position: int, queue_count: int, member_count: int) -> list[int]:
    """AllocateMessageQueueAveragely, line by line: the judge of ours."""
    mod = queue_count % member_count
    if queue_count <= member_count:
        average = 1
    else:
        average = queue_count // member_count + 1 if mod > 0 and position < mod else queue_count // member_count
    start = position * average if mod > 0 and position < mod else position * average + mod
    return list(range(start, start + max(0, min(average, queue_count - start))))


class TestAllocateAveragely:
    @pytest.mark.parametrize("member_count", range(1, 12))
    @pytest.mark.parametrize("queue_count", range(10))
    def test_agrees_with_java_for_every_member(self, queue_count: int, member_count: int) -> None:
        members = [f"10.0.0.{number:02}@{number}" for number in range(member_count)]

        shares = [[queue.queue_id for queue in allocate_averagely(me, queues(queue_count), members)] for me in members]

        assert shares == [java_avg(position, queue_count, member_count) for position in range(member_count)]
        assert [queue_id for share in shares for queue_id in share] == list(range(queue_count))

    def test_gives_nothing_to_a_client_the_broker_does_not_list(self) -> None:
        assert allocate_averagely("10.0.0.9@9", queues(4), ["10.0.0.1@1"]) == ()

    def test_does_not_depend_on_the_order_of_its_arguments(self) -> None:
        members = ["b@2", "a@1", "c@3"]

        assert allocate_averagely("a@1", reversed(queues(8)), members) == allocate_averagely(
            "a@1", queues(8), sorted(members)
        )

    @pytest.mark.parametrize(
        ("first", "second"),
        [("10.0.0.10@1", "10.0.0.2@1"), ("a@1", "a@1#5"), ("\U0001f600@1", "\uff5e@1")],
        ids=["as texts, not numbers", "a prefix first", "by UTF-16 units"],
    )
    def test_sorts_members_as_java_does(self, first: str, second: str) -> None:
        (only,) = queues(1)

        assert allocate_averagely(first, [only], [second, first]) == (only,)
        assert allocate_averagely(second, [only], [second, first]) == ()


class TestSortQueues:
    def test_orders_by_topic_broker_and_number(self) -> None:
        expected: Sequence[MessageQueue] = (
            MessageQueue("a", "broker-b", 10),
            MessageQueue("b", "broker-a", 2),
            MessageQueue("b", "broker-a", 10),
            MessageQueue("b", "broker-b", 1),
        )

        assert sort_queues(reversed(expected)) == expected
