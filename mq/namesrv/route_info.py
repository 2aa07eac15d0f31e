"""What a name server knows: clusters, brokers, the topics each broker serves, and who gave a sign of life when.

```
clusters   cluster -> broker names
brokers    broker name -> cluster, broker id -> address          id 0 is the master
topics     topic -> broker name -> queue counts and permission   told by masters
live       (cluster, address) -> connection, last sign of life, data version
```
A broker is gone when it says so, when its connection closes, or after two minutes of silence. Time comes in as an
argument, in seconds on a clock that never goes back. Source: RocketMQ RouteInfoManager.java.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from mq.message.message import RETRY_PREFIX
from mq.remoting.bodies import (
    BrokerData,
    ClusterInfo,
    DataVersion,
    QueueData,
    TopicConfigSerializeWrapper,
    TopicRouteData,
)
from mq.remoting.headers import RegisterBrokerRequestHeader

MASTER_ID: Final = 0
DEFAULT_TIMEOUT_S: Final = 120.0
PERM_READ: Final = 4
PERM_WRITE: Final = 2
#: Bits of a topic's flags. Source: TopicSysFlag.java.
IS_UNIT: Final = 1
HAS_UNIT_SUBSCRIPTION: Final = 2


class Peer(Protocol):
    """The connection a broker registered through: compared, and closed when the broker is given up."""

    def close(self) -> None: ...


class BrokerKey(NamedTuple):
    cluster: str
    address: str


@dataclass(slots=True)
class LiveBroker:
    """A sign of life. `connection` tells a broker that came back from the one that went away under its address."""

    broker_name: str
    connection: Peer
    seen_s: float
    timeout_s: float
    data_version: DataVersion
    ha_server_addr: str


class Master(NamedTuple):
    """What a slave is told at its registration."""

    address: str
    ha_server_addr: str


class RouteInfo:
    def __init__(self) -> None:
        self.clusters: dict[str, set[str]] = {}
        self.brokers: dict[str, BrokerData] = {}
        self.topics: dict[str, dict[str, QueueData]] = {}
        self.live: dict[BrokerKey, LiveBroker] = {}

    # Brokers come and go

    def register(
        self,
        header: RegisterBrokerRequestHeader,
        topics: TopicConfigSerializeWrapper,
        connection: Peer,
        now_s: float,
    ) -> bool:
        """Note a broker and, from a master, its topics; False when it is refused.

        Refused is the first registration of a broker that carries exactly one topic: it is a broker that announces a
        change to a name server which lost its table, and the whole table follows. An older claim to a broker id that
        another address holds is ignored.
        """
        key = BrokerKey(header.cluster_name, header.broker_addr)
        known = self.brokers.get(header.broker_name)
        if (known is None or header.broker_id not in known.broker_addrs) and len(topics.topic_config_table) == 1:
            return False
        if known is not None and self._is_outdated(known, header, topics.data_version):
            return True
        self._place(header)
        before = self.live.get(key)
        if self._may_tell_topics(header) and (before is None or before.data_version != topics.data_version):
            self._take_topics(header.broker_name, topics)
        self.live[key] = LiveBroker(
            broker_name=header.broker_name,
            connection=connection,
            seen_s=now_s,
            timeout_s=(header.heartbeat_timeout_millis or 0) / 1000 or DEFAULT_TIMEOUT_S,
            data_version=topics.data_version,
            ha_server_addr=header.ha_server_addr,
        )
        return True

    def unregister(self, cluster: str, broker_name: str, address: str) -> None:
        """Forget a broker; with its last address go its topics."""
        self.live.pop(BrokerKey(cluster, address), None)
        broker = self.brokers.get(broker_name)
        if broker is None or broker.cluster != cluster:
            return
        broker.broker_addrs = {id_: held for id_, held in broker.broker_addrs.items() if held != address}
        if broker.broker_addrs:
            return
        del self.brokers[broker_name]
        names = self.clusters[cluster]
        names.discard(broker_name)
        if not names:
            del self.clusters[cluster]
        for topic in list(self.topics):
            self._drop_queues(topic, broker_name)

    def touch(self, cluster: str, address: str, now_s: float) -> bool:
        """Note a sign of life; False for a broker that is not registered."""
        broker = self.live.get(BrokerKey(cluster, address))
        if broker is None:
            return False
        broker.seen_s = now_s
        return True

    def connection_closed(self, connection: Peer) -> None:
        """Forget the brokers that registered through this connection, and not one that has come back since."""
        for key, broker in list(self.live.items()):
            if broker.connection is connection:
                self.unregister(key.cluster, broker.broker_name, key.address)

    def drop_expired(self, now_s: float) -> list[BrokerKey]:
        """Forget the silent ones, and close their connections so that they come back if they can."""
        expired = [(key, broker) for key, broker in self.live.items() if now_s - broker.seen_s > broker.timeout_s]
        for key, broker in expired:
            self.unregister(key.cluster, broker.broker_name, key.address)
            broker.connection.close()
        return [key for key, _ in expired]

    def _is_outdated(self, known: BrokerData, header: RegisterBrokerRequestHeader, version: DataVersion) -> bool:
        address = known.broker_addrs.get(header.broker_id)
        holder = self.live.get(BrokerKey(header.cluster_name, address)) if address else None
        return (
            holder is not None
            and address != header.broker_addr
            and holder.data_version.state_version > version.state_version
        )

    def _place(self, header: RegisterBrokerRequestHeader) -> None:
        """Put the address into the tables; an address has one id, so another one that it had goes."""
        name, cluster = header.broker_name, header.cluster_name
        broker = self.brokers.get(name)
        if broker is None or broker.cluster != cluster:
            broker = self.brokers[name] = BrokerData(cluster, name, {})
        self.clusters.setdefault(cluster, set()).add(name)
        broker.enable_acting_master = bool(header.enable_acting_master)
        held = {id_: address for id_, address in broker.broker_addrs.items() if address != header.broker_addr}
        broker.broker_addrs = dict(sorted({**held, header.broker_id: header.broker_addr}.items()))

    def _may_tell_topics(self, header: RegisterBrokerRequestHeader) -> bool:
        broker = self.brokers[header.broker_name]
        is_smallest = header.broker_id == min(broker.broker_addrs)
        return header.broker_id == MASTER_ID or (broker.enable_acting_master and is_smallest)

    def _take_topics(self, broker_name: str, topics: TopicConfigSerializeWrapper) -> None:
        for topic in topics.topic_config_table.values():
            self.topics.setdefault(topic.topic_name, {})[broker_name] = QueueData(
                broker_name, topic.read_queue_nums, topic.write_queue_nums, topic.perm, topic.topic_sys_flag
            )

    def _drop_queues(self, topic: str, broker_name: str) -> None:
        queues = self.topics.get(topic, {})
        if queues.pop(broker_name, None) is not None and not queues:
            del self.topics[topic]

    # Questions

    def route(self, topic: str) -> TopicRouteData | None:
        """The topic's queues and the brokers that hold them; None when no live broker serves it."""
        queues = [data for name, data in sorted(self.topics.get(topic, {}).items()) if name in self.brokers]
        if not queues:
            return None
        brokers = [self.brokers[data.broker_name] for data in queues]
        for position, broker in enumerate(brokers):
            if broker.enable_acting_master and MASTER_ID not in broker.broker_addrs:
                brokers[position], queues[position] = _with_acting_master(broker, queues[position])
        return TopicRouteData(brokers, queues)

    def coming_retry_route(self, topic: str) -> TopicRouteData | None:
        """The route that an unknown retry topic will have once its group's first heartbeat has come to the brokers.

        A consumer asks for this route just before that heartbeat, and again only 30 s later: without an answer its
        group's first retries, due after 10 s, would come after 20 to 50 s.
        """
        if not topic.startswith(RETRY_PREFIX):
            return None
        brokers = [data for _, data in sorted(self.brokers.items()) if MASTER_ID in data.broker_addrs]
        queues = [QueueData(data.broker_name, 1, 1, PERM_READ | PERM_WRITE) for data in brokers]
        return TopicRouteData(brokers, queues) if brokers else None

    def cluster_info(self) -> ClusterInfo:
        return ClusterInfo(self.brokers, {cluster: sorted(names) for cluster, names in self.clusters.items()})

    def topics_of_cluster(self, cluster: str) -> list[str]:
        names = self.clusters.get(cluster, set())
        return [topic for topic, queues in self.topics.items() if not names.isdisjoint(queues)]

    def topics_with_flags(self, mask: int, flags: int) -> list[str]:
        """Topics whose flags, as any broker tells them, are `flags` within `mask`."""
        return [
            topic
            for topic, queues in self.topics.items()
            if any(data.topic_sys_flag & mask == flags for data in queues.values())
        ]

    def data_version(self, cluster: str, address: str) -> DataVersion | None:
        broker = self.live.get(BrokerKey(cluster, address))
        return broker.data_version if broker else None

    def master_of(self, cluster: str, broker_name: str) -> Master | None:
        broker = self.brokers.get(broker_name)
        address = broker.broker_addrs.get(MASTER_ID) if broker else None
        live = self.live.get(BrokerKey(cluster, address)) if address else None
        return Master(address, live.ha_server_addr) if address and live else None

    # Administration

    def wipe_write_perm(self, broker_name: str) -> int:
        """Make all queues of a broker read-only until its topics change; the number of topics touched."""
        return self._set_perm(broker_name, lambda perm: perm & ~PERM_WRITE)

    def add_write_perm(self, broker_name: str) -> int:
        """Make all queues of a broker readable and writable; the number of topics touched."""
        return self._set_perm(broker_name, lambda _: PERM_READ | PERM_WRITE)

    def delete_topic(self, topic: str, cluster: str | None) -> None:
        """Forget a topic, in one cluster or everywhere."""
        for name in list(self.topics.get(topic, {})):
            if not cluster or name in self.clusters.get(cluster, set()):
                self._drop_queues(topic, name)

    def add_queues(self, topic: str, queues: Iterable[QueueData]) -> None:
        """Note a topic of brokers that are registered."""
        for data in queues:
            if data.broker_name in self.brokers:
                self.topics.setdefault(topic, {})[data.broker_name] = data

    def _set_perm(self, broker_name: str, change: Callable[[int], int]) -> int:
        touched = [queues[broker_name] for queues in self.topics.values() if broker_name in queues]
        for data in touched:
            data.perm = change(data.perm)
        return len(touched)


def _with_acting_master(broker: BrokerData, queues: QueueData) -> tuple[BrokerData, QueueData]:
    """A broker without its master: the smallest slave stands in, for reading only."""
    slave_id = min(broker.broker_addrs)
    addresses = {id_: address for id_, address in broker.broker_addrs.items() if id_ != slave_id}
    addresses[MASTER_ID] = broker.broker_addrs[slave_id]
    return (
        BrokerData(broker.cluster, broker.broker_name, dict(sorted(addresses.items())), True),
        QueueData(
            queues.broker_name,
            queues.read_queue_nums,
            queues.write_queue_nums,
            queues.perm & ~PERM_WRITE,
            queues.topic_sys_flag,
        ),
    )
