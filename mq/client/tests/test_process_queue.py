import asyncio

from mq.client.process_queue import FlowLimits, ProcessQueue
from mq.client.settings import ClientSettings
from mq.message import Host, MessageQueue, ReceivedMessage

SETTINGS = ClientSettings(queue_max_messages=3, queue_max_bytes=1000, queue_max_span=10)


def message(queue_offset: int, record_bytes: int = 100) -> ReceivedMessage:
    host = Host("127.0.0.1", 10911)
    return ReceivedMessage(
        topic="order-events",
        queue_id=0,
        queue_offset=queue_offset,
        commit_log_offset=0,
        body=b"x",
        properties={},
        sys_flag=0,
        flag=0,
        born_timestamp_ms=0,
        born_host=host,
        store_timestamp_ms=0,
        store_host=host,
        reconsume_times=0,
        prepared_transaction_offset=0,
        record_bytes=record_bytes,
    )


def process_queue(next_offset: int = 5) -> ProcessQueue:
    return ProcessQueue(MessageQueue("order-events", "broker-a", 0), next_offset, FlowLimits.of(SETTINGS))


class TestCommitOffset:
    def test_is_unknown_before_the_first_answer(self) -> None:
        assert process_queue().commit_offset is None

    def test_is_the_lowest_message_not_consumed(self) -> None:
        queue = process_queue()
        held = [message(5), message(6), message(7)]
        queue.put(held, next_offset=8)

        queue.remove([held[1], held[2]])

        assert queue.commit_offset == 5

    def test_passes_what_the_filter_left_out_once_all_is_consumed(self) -> None:
        queue = process_queue()
        queue.put([message(5)], next_offset=9)

        queue.remove([message(5)])

        assert queue.commit_offset == 9

    def test_does_not_pass_a_gap_that_lies_behind_a_held_message(self) -> None:
        queue = process_queue()
        queue.put([message(5), message(40)], next_offset=41)

        queue.remove([message(40)])

        assert queue.commit_offset == 5


class TestFlowControl:
    def test_stops_at_the_number_of_messages(self) -> None:
        queue = process_queue()
        queue.put([message(5), message(6)], next_offset=7)
        assert not queue.is_full

        queue.put([message(7)], next_offset=8)

        assert queue.is_full

    def test_stops_at_the_number_of_bytes(self) -> None:
        queue = process_queue()

        queue.put([message(5, record_bytes=1000)], next_offset=6)

        assert queue.is_full

    def test_counts_a_body_as_long_as_it_is_in_memory(self) -> None:
        """Which may be a thousand times what the record took on its way; `weight` in `put` sees to it."""
        queue = process_queue()
        inflated = message(5, record_bytes=100)
        inflated.body = bytes(990)

        queue.put([inflated, message(6, record_bytes=10)], next_offset=7)
        held_bytes, is_full = queue.held_bytes, queue.is_full
        queue.remove([inflated])

        assert (held_bytes, is_full) == (1000, True)
        assert (queue.held_bytes, queue.is_full) == (10, False)

    def test_stops_when_one_message_lags_too_far_behind(self) -> None:
        queue = process_queue()

        queue.put([message(5), message(16)], next_offset=17)

        assert queue.is_full

    def test_never_stops_an_empty_queue_however_far_the_filter_went(self) -> None:
        queue = process_queue()

        queue.put([], next_offset=100_000)

        assert not queue.is_full

    async def test_wakes_the_puller_when_a_handler_made_room(self) -> None:
        queue = process_queue()
        held = [message(5), message(6), message(7)]
        queue.put(held, next_offset=8)
        waiting = asyncio.create_task(queue.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()

        queue.remove(held[:1])

        await asyncio.wait_for(waiting, timeout=5)

    async def test_wakes_everybody_when_it_is_dropped(self) -> None:
        full, empty = process_queue(), process_queue()
        full.put([message(5), message(6), message(7)], next_offset=8)
        waiting = asyncio.gather(full.wait_for_room(), empty.wait_for_messages(), empty.wait_until_dropped(60))
        await asyncio.sleep(0)

        full.drop()
        empty.drop()

        await asyncio.wait_for(waiting, timeout=5)


class TestFlowLimits:
    def test_of_a_topic_are_shared_out_among_the_queues_that_are_ours(self) -> None:
        settings = ClientSettings(topic_max_messages=90, topic_max_bytes=3000)
        limits = FlowLimits.of(settings)

        limits.share(settings, 30)

        assert (limits.max_messages, limits.max_bytes) == (3, 100)

    def test_leave_every_queue_something(self) -> None:
        settings = ClientSettings(topic_max_messages=3)
        limits = FlowLimits.of(settings)

        limits.share(settings, 8)

        assert limits.max_messages == 1

    def test_of_a_queue_hold_where_there_are_none_of_a_topic(self) -> None:
        limits = FlowLimits.of(SETTINGS)

        limits.share(SETTINGS, 8)

        assert limits == FlowLimits(3, 1000, 10)
