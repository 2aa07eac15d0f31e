import random
from collections.abc import Sequence

import pytest

from mq.client.allocation import (
    AllocateStrategy,
    Averagely,
    AveragelyByCircle,
    ByConfig,
    ByMachineRoom,
    ConsistentHash,
    MachineRoomNearby,
    allocate,
    sort_queues,
)
from mq.message import MessageQueue

#: Twenty queues in three machine rooms, which the table below calls a to t; and three groups.
ROOMS = ("bj@broker-d", "hz@broker-a", "hz@broker-b", "sh@broker-c")
QUEUES = [MessageQueue("order-events", broker, queue_id) for broker in ROOMS for queue_id in range(5)]
GROUPS = {
    1: ["hz-1@1"],
    3: ["hz-1@1", "hz-3@4", "sh-2@7"],
    7: ["gz-1@1", "hz-10@9", "hz-1@1", "hz-2@2", "sh-1@1", "sh-2@2", "sh-中文@3"],
}


def nearby(inner: AllocateStrategy) -> MachineRoomNearby:
    return MachineRoomNearby(inner, lambda queue: queue.broker_name.split("@")[0], lambda member: member.split("-")[0])


STRATEGIES: dict[str, AllocateStrategy] = {
    "AVG": Averagely(),
    "AVG_BY_CIRCLE": AveragelyByCircle(),
    "CONSISTENT_HASH": ConsistentHash(),
    "CONSISTENT_HASH of 3": ConsistentHash(3),
    "CONFIG": ByConfig([QUEUES[3], QUEUES[17]]),
    "MACHINE_ROOM": ByMachineRoom({"hz", "bj"}),
    "MACHINE_ROOM_NEARBY-AVG": nearby(Averagely()),
    "MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE": nearby(AveragelyByCircle()),
}
#: What the classes of rocketmq-client 5.3.3 gave each member, in the members' order.
JAVA = """
AVG                               1 abcdefghijklmnopqrst
AVG                               3 abcdefg|hijklmn|opqrst
AVG                               7 abc|def|ghi|jkl|mno|pqr|st
AVG_BY_CIRCLE                     1 abcdefghijklmnopqrst
AVG_BY_CIRCLE                     3 adgjmps|behknqt|cfilor
AVG_BY_CIRCLE                     7 aho|bip|cjq|dkr|els|fmt|gn
CONSISTENT_HASH                   1 abcdefghijklmnopqrst
CONSISTENT_HASH                   3 cimpq|adejlnors|bfghkt
CONSISTENT_HASH                   7 bfgs|er|cipq||adjkln||hmot
CONSISTENT_HASH of 3              1 abcdefghijklmnopqrst
CONSISTENT_HASH of 3              3 m|acdfhjklnopqs|begirt
CONSISTENT_HASH of 3              7 ft|cdlo|gi|n|abejkrs|pq|hm
CONFIG                            1 dr
CONFIG                            3 dr|dr|dr
MACHINE_ROOM                      1 abcdefghijklmno
MACHINE_ROOM                      3 abcde|fghij|klmno
MACHINE_ROOM                      7 abo|cd|ef|gh|ij|kl|mn
MACHINE_ROOM_NEARBY-AVG           1 fghijklmnoabcdepqrst
MACHINE_ROOM_NEARBY-AVG           3 fghijab|klmnocd|pqrste
MACHINE_ROOM_NEARBY-AVG           7 a|fghib|jklc|mnod|pqe|rs|t
MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE 1 fghijklmnoabcdepqrst
MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE 3 fhjlnad|gikmobe|pqrstc
MACHINE_ROOM_NEARBY-AVG_BY_CIRCLE 7 a|filob|gjmc|hknd|pse|qt|r
"""


def letters(queues: Sequence[MessageQueue]) -> str:
    return "".join(chr(ord("a") + QUEUES.index(queue)) for queue in queues)


class TestEveryStrategy:
    @pytest.mark.parametrize("line", JAVA.strip().splitlines(), ids=lambda line: " ".join(line.split()[:-1]))
    def test_gives_every_member_what_java_gives_it(self, line: str) -> None:
        name, shares = line.rsplit(maxsplit=1)
        name, count = name.rsplit(maxsplit=1)
        members = sorted(GROUPS[int(count)])
        shuffled = random.Random(7).sample(QUEUES, len(QUEUES))

        ours = [letters(allocate(STRATEGIES[name.strip()], me, shuffled, members[::-1])) for me in members]

        assert ours == shares.split("|")

    @pytest.mark.parametrize("name", STRATEGIES)
    def test_gives_nothing_to_a_client_the_broker_does_not_list(self, name: str) -> None:
        assert allocate(STRATEGIES[name], "hz-9@9", QUEUES, GROUPS[3]) == ()

    @pytest.mark.parametrize("name", STRATEGIES)
    def test_gives_nothing_of_nothing(self, name: str) -> None:
        assert allocate(STRATEGIES[name], "hz-1@1", [], GROUPS[3]) == ()


class TestConsistentHash:
    def test_moves_only_the_queues_of_a_member_that_leaves(self) -> None:
        members = GROUPS[7]
        rest = members[1:]

        before = {me: set(allocate(ConsistentHash(), me, QUEUES, members)) for me in members}
        after = {me: set(allocate(ConsistentHash(), me, QUEUES, rest)) for me in rest}

        assert all(before[me] <= after[me] for me in rest)


class TestMachineRooms:
    @pytest.mark.parametrize("broker", ["hz", "hz@", "hz@a@b", "@a"])
    def test_leave_out_brokers_whose_name_says_no_room(self, broker: str) -> None:
        assert allocate(ByMachineRoom({"hz"}), "me", [MessageQueue("T", broker, 0)], ["me"]) == ()

    def test_refuse_a_member_that_is_nowhere(self) -> None:
        strategy = MachineRoomNearby(Averagely(), lambda queue: "hz", lambda member: "")

        with pytest.raises(ValueError, match="no machine room for me"):
            allocate(strategy, "me", QUEUES, ["me"])


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


class TestAveragely:
    @pytest.mark.parametrize("member_count", range(1, 12))
    @pytest.mark.parametrize("queue_count", range(10))
    def test_agrees_with_java_for_every_member(self, queue_count: int, member_count: int) -> None:
        members = [f"10.0.0.{number:02}@{number}" for number in range(member_count)]

        shares = [
            [queue.queue_id for queue in allocate(Averagely(), me, queues(queue_count), members)] for me in members
        ]

        assert shares == [java_avg(position, queue_count, member_count) for position in range(member_count)]
        assert [queue_id for share in shares for queue_id in share] == list(range(queue_count))

    def test_does_not_depend_on_the_order_of_its_arguments(self) -> None:
        members = ["b@2", "a@1", "c@3"]

        assert allocate(Averagely(), "a@1", reversed(queues(8)), members) == allocate(
            Averagely(), "a@1", queues(8), sorted(members)
        )

    @pytest.mark.parametrize(
        ("first", "second"),
        [("10.0.0.10@1", "10.0.0.2@1"), ("a@1", "a@1#5"), ("\U0001f600@1", "\uff5e@1")],
        ids=["as texts, not numbers", "a prefix first", "by UTF-16 units"],
    )
    def test_sorts_members_as_java_does(self, first: str, second: str) -> None:
        (only,) = queues(1)

        assert allocate(Averagely(), first, [only], [second, first]) == (only,)
        assert allocate(Averagely(), second, [only], [second, first]) == ()


class TestSortQueues:
    def test_orders_by_topic_broker_and_number(self) -> None:
        expected: Sequence[MessageQueue] = (
            MessageQueue("a", "broker-b", 10),
            MessageQueue("b", "broker-a", 2),
            MessageQueue("b", "broker-a", 10),
            MessageQueue("b", "broker-b", 1),
        )

        assert sort_queues(reversed(expected)) == expected
