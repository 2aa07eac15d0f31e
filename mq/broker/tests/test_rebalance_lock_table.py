from mq.broker.rebalance_lock import LEASE_S, LockTable
from mq.message import MessageQueue

QUEUE = MessageQueue("order-events", "broker-a", 0)


class TestLockTable:
    def test_gives_a_queue_to_one_client(self):
        table = LockTable()

        assert table.lock("orders", "client-1", QUEUE, now_s=0)
        assert not table.lock("orders", "client-2", QUEUE, now_s=1)

    def test_is_separate_for_each_group(self):
        table = LockTable()

        assert table.lock("orders", "client-1", QUEUE, now_s=0)
        assert table.lock("inventory", "client-2", QUEUE, now_s=0)

    def test_renews_the_lease_of_its_owner(self):
        table = LockTable()
        table.lock("orders", "client-1", QUEUE, now_s=0)

        assert table.lock("orders", "client-1", QUEUE, now_s=LEASE_S - 1)
        assert not table.lock("orders", "client-2", QUEUE, now_s=LEASE_S + 1)

    def test_gives_an_expired_lease_away(self):
        table = LockTable()
        table.lock("orders", "client-1", QUEUE, now_s=0)

        assert table.lock("orders", "client-2", QUEUE, now_s=LEASE_S)

    def test_unlocks_for_the_owner_only(self):
        table = LockTable()
        table.lock("orders", "client-1", QUEUE, now_s=0)

        table.unlock("orders", "client-2", QUEUE)
        assert table.is_locked("orders", now_s=1)

        table.unlock("orders", "client-1", QUEUE)
        assert not table.is_locked("orders", now_s=1)
        assert table.lock("orders", "client-2", QUEUE, now_s=1)
