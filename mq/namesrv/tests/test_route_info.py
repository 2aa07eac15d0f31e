"""The map and the clock, without a socket."""

from __future__ import annotations

import pytest

from mq.namesrv.route_info import RouteInfo
from mq.remoting.bodies import DataVersion, TopicConfig, TopicConfigSerializeWrapper, TopicRouteData
from mq.remoting.headers import RegisterBrokerRequestHeader

MASTER = "10.0.0.1:10911"
SLAVE = "10.0.0.2:10911"


class Peer:
    """A connection as route info sees it."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def topics(*names: str, counter: int = 1, queue_count: int = 4, perm: int = 6) -> TopicConfigSerializeWrapper:
    table = {name: TopicConfig(name, queue_count, queue_count, perm) for name in names}
    return TopicConfigSerializeWrapper(DataVersion(0, 1_700_000_000_000, counter), table)


def register(
    routes,
    peer=None,
    *,
    address=MASTER,
    broker_id=0,
    name="broker-a",
    cluster="C",
    carrying=None,
    now_s=0.0,
    timeout_ms=None,
    acting_master=False,
):
    header = RegisterBrokerRequestHeader(
        name, address, cluster, "10.0.0.1:10912", broker_id, timeout_ms, acting_master or None
    )
    return routes.register(header, carrying or topics("orders", "payments"), peer or Peer(), now_s)


def route_of(routes: RouteInfo, topic: str) -> TopicRouteData:
    route = routes.route(topic)
    assert route is not None
    return route


class TestRegister:
    def test_gives_the_broker_s_topics_a_route(self):
        routes = RouteInfo()

        register(routes)

        route = route_of(routes, "orders")
        assert [(broker.broker_name, broker.broker_addrs) for broker in route.broker_datas] == [
            ("broker-a", {0: MASTER})
        ]
        assert [(queues.broker_name, queues.read_queue_nums, queues.perm) for queues in route.queue_datas] == [
            ("broker-a", 4, 6)
        ]
        assert routes.cluster_info().cluster_addr_table == {"C": ["broker-a"]}

    def test_spreads_a_topic_over_several_brokers(self):
        routes = RouteInfo()

        register(routes, name="broker-b", address="10.0.0.3:10911")
        register(routes)

        assert [queues.broker_name for queues in route_of(routes, "orders").queue_datas] == ["broker-a", "broker-b"]

    def test_takes_topics_from_masters_only(self):
        routes = RouteInfo()

        register(routes, address=SLAVE, broker_id=1, carrying=topics("orders", "slave-only"))
        register(routes)

        assert routes.route("slave-only") is None
        assert route_of(routes, "orders").broker_datas[0].broker_addrs == {0: MASTER, 1: SLAVE}

    def test_reads_topics_again_only_when_their_version_changed(self):
        routes = RouteInfo()
        register(routes)

        register(routes, carrying=topics("orders", "payments", queue_count=16))
        assert route_of(routes, "orders").queue_datas[0].read_queue_nums == 4

        register(routes, carrying=topics("orders", "payments", queue_count=16, counter=2))
        assert route_of(routes, "orders").queue_datas[0].read_queue_nums == 16

    def test_keeps_topics_that_the_broker_no_longer_names(self):
        routes = RouteInfo()
        register(routes)

        register(routes, carrying=topics("payments", "refunds", counter=2))

        assert routes.route("orders") is not None

    def test_refuses_a_newcomer_that_carries_exactly_one_topic(self):
        routes = RouteInfo()

        assert not register(routes, carrying=topics("orders"))
        assert routes.route("orders") is None
        assert register(routes)
        assert register(routes, carrying=topics("new-topic", counter=2))

    def test_gives_an_address_one_id_only(self):
        routes = RouteInfo()
        register(routes, address=SLAVE, broker_id=1)
        register(routes)

        register(routes, address=SLAVE, broker_id=2)

        assert routes.brokers["broker-a"].broker_addrs == {0: MASTER, 2: SLAVE}

    def test_ignores_an_older_claim_to_an_id_that_another_address_holds(self):
        routes = RouteInfo()
        newer = topics("orders", "payments")
        newer.data_version = DataVersion(5, 1, 1)
        register(routes, carrying=newer)

        assert register(routes, address="10.0.0.9:10911")

        assert routes.brokers["broker-a"].broker_addrs == {0: MASTER}

    def test_tells_a_slave_its_master(self):
        routes = RouteInfo()
        assert routes.master_of("C", "broker-a") is None

        register(routes)

        assert routes.master_of("C", "broker-a") == (MASTER, "10.0.0.1:10912")

    def test_lets_the_smallest_slave_stand_in_for_a_lost_master_read_only(self):
        routes = RouteInfo()
        gone = Peer()
        register(routes, gone, acting_master=True)
        register(routes, address=SLAVE, broker_id=1, acting_master=True)

        routes.connection_closed(gone)

        route = route_of(routes, "orders")
        assert route.broker_datas[0].broker_addrs == {0: SLAVE}
        assert route.queue_datas[0].perm == 4
        assert routes.brokers["broker-a"].broker_addrs == {1: SLAVE}


class TestGoing:
    def test_unregister_takes_the_last_address_s_topics_along(self):
        routes = RouteInfo()
        register(routes)
        register(routes, address=SLAVE, broker_id=1)

        routes.unregister("C", "broker-a", MASTER)
        assert route_of(routes, "orders").broker_datas[0].broker_addrs == {1: SLAVE}

        routes.unregister("C", "broker-a", SLAVE)
        assert routes.route("orders") is None
        assert (routes.brokers, routes.clusters, routes.topics, routes.live) == ({}, {}, {}, {})

    def test_a_closed_connection_takes_its_broker_at_once(self):
        routes, peer = RouteInfo(), Peer()
        register(routes, peer)

        routes.connection_closed(peer)

        assert routes.route("orders") is None

    def test_a_broker_that_came_back_outlives_its_old_connection(self):
        routes, before, after = RouteInfo(), Peer(), Peer()
        register(routes, before)
        register(routes, after)

        routes.connection_closed(before)

        assert routes.route("orders") is not None

    def test_silence_takes_a_broker_after_two_minutes_and_closes_its_connection(self):
        routes, peer = RouteInfo(), Peer()
        register(routes, peer, now_s=1000)

        assert routes.drop_expired(1120) == []
        assert [key.address for key in routes.drop_expired(1120.1)] == [MASTER]
        assert peer.is_closed
        assert routes.route("orders") is None

    def test_a_broker_may_ask_for_less_patience(self):
        routes = RouteInfo()
        register(routes, now_s=1000, timeout_ms=10_000)

        assert len(routes.drop_expired(1010.1)) == 1

    def test_a_sign_of_life_renews_the_patience(self):
        routes = RouteInfo()
        register(routes, now_s=1000)

        assert routes.touch("C", MASTER, 1100)
        assert routes.drop_expired(1200) == []
        assert not routes.touch("C", "10.0.0.9:1", 1100)


class TestAdministration:
    def test_wiping_write_permission_lasts_until_the_topics_change(self):
        routes = RouteInfo()
        register(routes)

        assert routes.wipe_write_perm("broker-a") == 2
        assert route_of(routes, "orders").queue_datas[0].perm == 4
        register(routes)
        assert route_of(routes, "orders").queue_datas[0].perm == 4
        register(routes, carrying=topics("orders", "payments", counter=2))
        assert route_of(routes, "orders").queue_datas[0].perm == 6

    def test_adding_it_makes_everything_readable_and_writable(self):
        routes = RouteInfo()
        register(routes, carrying=topics("orders", "payments", perm=7))

        assert routes.add_write_perm("broker-a") == 2
        assert route_of(routes, "orders").queue_datas[0].perm == 6
        assert routes.add_write_perm("nobody") == 0

    @pytest.mark.parametrize(("cluster", "is_left"), [(None, False), ("C", False), ("D", True)])
    def test_a_topic_is_deleted_everywhere_or_in_one_cluster(self, cluster, is_left):
        routes = RouteInfo()
        register(routes)

        routes.delete_topic("orders", cluster)

        assert (routes.route("orders") is not None) == is_left

    def test_topics_are_listed_by_cluster(self):
        routes = RouteInfo()
        register(routes)
        register(routes, name="broker-b", cluster="D", address="10.0.0.3:10911", carrying=topics("x", "y"))

        assert sorted(routes.topics_of_cluster("C")) == ["orders", "payments"]
        assert routes.topics_of_cluster("nowhere") == []
