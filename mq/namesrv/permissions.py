"""Which account may send the name server which request: one row per code, as in `mq/broker/permissions.py`.

Whoever has an account may ask for routes; brokers register as an administrator. RocketMQ's name server asks nobody.
"""

from __future__ import annotations

from typing import Final

from mq.remoting.codes import RequestCode as Code
from mq.security.guard import Rule, administrator, anyone

PERMISSIONS: Final[dict[int, Rule]] = {
    Code.GET_ROUTEINFO_BY_TOPIC: anyone,
    Code.GET_BROKER_CLUSTER_INFO: anyone,  # transactional producers look for every broker
    # brokers
    Code.REGISTER_BROKER: administrator,
    Code.UNREGISTER_BROKER: administrator,
    Code.BROKER_HEARTBEAT: administrator,
    Code.QUERY_DATA_VERSION: administrator,
    Code.REGISTER_TOPIC_IN_NAMESRV: administrator,
    Code.GET_BROKER_MEMBER_GROUP: administrator,
    # administration
    Code.GET_ALL_TOPIC_LIST_FROM_NAMESERVER: administrator,
    Code.GET_TOPICS_BY_CLUSTER: administrator,
    Code.GET_SYSTEM_TOPIC_LIST_FROM_NS: administrator,
    Code.GET_UNIT_TOPIC_LIST: administrator,
    Code.GET_HAS_UNIT_SUB_TOPIC_LIST: administrator,
    Code.GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST: administrator,
    Code.DELETE_TOPIC_IN_NAMESRV: administrator,
    Code.WIPE_WRITE_PERM_OF_BROKER: administrator,
    Code.ADD_WRITE_PERM_OF_BROKER: administrator,
    Code.UPDATE_NAMESRV_CONFIG: administrator,
    Code.GET_NAMESRV_CONFIG: administrator,
    # notes
    Code.PUT_KV_CONFIG: administrator,
    Code.GET_KV_CONFIG: administrator,
    Code.DELETE_KV_CONFIG: administrator,
    Code.GET_KVLIST_BY_NAMESPACE: administrator,
}
