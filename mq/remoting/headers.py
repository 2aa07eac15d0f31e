"""The typed header fields of requests and responses, named as RocketMQ names the classes.

On the wire the names are camelCase; fields without a default are mandatory. `SendMessageRequestHeaderV2` carries the
same attributes as V1 under one-letter wire names, so one code path serves both.
Source: RocketMQ remoting/protocol/header/*.java.
"""

from __future__ import annotations

import msgspec

from mq.remoting.command import Int32, Int64


class Header(msgspec.Struct, rename="camel", gc=False):
    """Base of all headers; holds texts, numbers and booleans only, so the cycle collector need not look at it."""


# Sending


class SendMessageRequestHeader(Header):
    """Codes 10 and 324 (V1 names)."""

    producer_group: str
    topic: str
    default_topic: str
    default_topic_queue_nums: Int32
    queue_id: Int32
    sys_flag: Int32
    born_timestamp: Int64
    flag: Int32
    properties: str | None = None
    reconsume_times: Int32 | None = None
    unit_mode: bool | None = None
    max_reconsume_times: Int32 | None = None
    batch: bool | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class SendMessageRequestHeaderV2(
    SendMessageRequestHeader,
    rename={
        "producer_group": "a",
        "topic": "b",
        "default_topic": "c",
        "default_topic_queue_nums": "d",
        "queue_id": "e",
        "sys_flag": "f",
        "born_timestamp": "g",
        "flag": "h",
        "properties": "i",
        "reconsume_times": "j",
        "unit_mode": "k",
        "max_reconsume_times": "l",
        "batch": "m",
    },
):
    """Codes 310, 320 and 325: the same under one-letter names; only fields declared here are renamed."""

    producer_group: str
    topic: str
    default_topic: str
    default_topic_queue_nums: Int32
    queue_id: Int32
    sys_flag: Int32
    born_timestamp: Int64
    flag: Int32
    properties: str | None = None
    reconsume_times: Int32 | None = None
    unit_mode: bool | None = None
    max_reconsume_times: Int32 | None = None
    batch: bool | None = None
    broker_name: str | None = msgspec.field(default=None, name="n")


class SendMessageResponseHeader(Header):
    msg_id: str
    queue_id: Int32
    queue_offset: Int64
    transaction_id: str | None = None
    batch_uniq_id: str | None = None
    recall_handle: str | None = None
    msg_region: str | None = msgspec.field(default=None, name="MSG_REGION")
    trace_on: bool | None = msgspec.field(default=None, name="TRACE_ON")


class ConsumerSendMsgBackRequestHeader(Header):
    """Code 36; `offset` is the commit log offset."""

    offset: Int64
    group: str
    delay_level: Int32
    origin_msg_id: str | None = None
    origin_topic: str | None = None
    unit_mode: bool | None = None
    max_reconsume_times: Int32 | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class EndTransactionRequestHeader(Header):
    """Code 37; `commit_or_rollback` is 8, 12 or 0 (unknown)."""

    producer_group: str
    tran_state_table_offset: Int64
    commit_log_offset: Int64
    commit_or_rollback: Int32
    topic: str | None = None
    from_transaction_check: bool | None = None
    msg_id: str | None = None
    transaction_id: str | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class CheckTransactionStateRequestHeader(Header):
    """Code 39, broker to producer."""

    tran_state_table_offset: Int64
    commit_log_offset: Int64
    topic: str | None = None
    msg_id: str | None = None
    transaction_id: str | None = None
    offset_msg_id: str | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class ReplyMessageRequestHeader(SendMessageRequestHeader, kw_only=True):
    """Code 326, broker to the client that waits for a reply."""

    born_host: str
    store_host: str
    store_timestamp: Int64


class RecallMessageRequestHeader(Header):
    topic: str
    recall_handle: str
    producer_group: str | None = None


class ExchangeHAInfoHeader(Header):
    """Code 906, request and response."""

    master_ha_address: str | None = None
    master_flush_offset: Int64 | None = None
    master_address: str | None = None


# Reading


class PullMessageRequestHeader(Header):
    """Codes 11 and 361; `sys_flag` bits are in `PullSysFlag`."""

    consumer_group: str
    topic: str
    queue_id: Int32
    queue_offset: Int64
    max_msg_nums: Int32
    sys_flag: Int32
    commit_offset: Int64
    suspend_timeout_millis: Int64
    sub_version: Int64
    subscription: str | None = None
    expression_type: str | None = None
    max_msg_bytes: Int32 | None = None
    request_source: Int32 | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class PullSysFlag:
    """Bits of a pull's `sys_flag`. Source: PullSysFlag.java."""

    COMMIT_OFFSET = 1
    SUSPEND = 2
    SUBSCRIPTION = 4
    CLASS_FILTER = 8
    LITE_PULL = 16


class PullMessageResponseHeader(Header):
    suggest_which_broker_id: Int64
    next_begin_offset: Int64
    min_offset: Int64
    max_offset: Int64
    offset_delta: Int64 | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None
    forbidden_type: Int32 | None = None


class QueryMessageRequestHeader(Header):
    """Code 12; `unique_key_query` asks for one message by its unique id."""

    topic: str
    key: str
    max_num: Int32
    begin_timestamp: Int64
    end_timestamp: Int64
    unique_key_query: bool | None = msgspec.field(default=None, name="_UNIQUE_KEY_QUERY")


class ViewMessageRequestHeader(Header):
    """Code 33; `offset` is the commit log offset."""

    offset: Int64
    topic: str | None = None


class QueueRequestHeader(Header):
    """Codes 30 (max), 31 (min) and 32 (earliest store time): one queue."""

    topic: str
    queue_id: Int32
    committed: bool | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


GetMaxOffsetRequestHeader = GetMinOffsetRequestHeader = GetEarliestMsgStoretimeRequestHeader = QueueRequestHeader


class SearchOffsetRequestHeader(Header):
    """Code 29; `boundary_type` is LOWER (default) or UPPER."""

    topic: str
    queue_id: Int32
    timestamp: Int64
    boundary_type: str | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class OffsetResponseHeader(Header):
    """The answer of 14, 29, 30 and 31."""

    offset: Int64


class QueryConsumerOffsetRequestHeader(Header):
    consumer_group: str
    topic: str
    queue_id: Int32
    set_zero_if_not_found: bool | None = None
    broker_name: str | None = msgspec.field(default=None, name="bname")


class UpdateConsumerOffsetRequestHeader(Header):
    consumer_group: str
    topic: str
    queue_id: Int32
    commit_offset: Int64
    broker_name: str | None = msgspec.field(default=None, name="bname")


# Clients and groups


class UnregisterClientRequestHeader(Header):
    client_id: str = msgspec.field(name="clientID")
    producer_group: str | None = None
    consumer_group: str | None = None


class ConsumerGroupRequestHeader(Header):
    """Codes 38, 40 and 203: nothing but the group."""

    consumer_group: str


GetConsumerListByGroupRequestHeader = NotifyConsumerIdsChangedRequestHeader = ConsumerGroupRequestHeader
GetConsumerConnectionListRequestHeader = ConsumerGroupRequestHeader


class GetProducerConnectionListRequestHeader(Header):
    producer_group: str


class LockBatchRequestHeader(Header):
    """Code 41, whose fields are in its body but for this one, which is ours alone: the sender gives its queues up when
    the connection breaks, so the locks need not outlive it.
    """

    lock_ends_with_connection: bool = False


class ResetOffsetRequestHeader(Header):
    """Codes 222 (to the broker) and 220 (to the client)."""

    topic: str
    group: str
    timestamp: Int64
    is_force: bool
    queue_id: Int32 = -1
    offset: Int64 | None = None


class GetConsumerStatusRequestHeader(Header):
    """Codes 221 and 223."""

    topic: str
    group: str
    client_addr: str | None = None


class GetConsumerRunningInfoRequestHeader(Header):
    consumer_group: str
    client_id: str
    jstack_enable: bool | None = None


class ConsumeMessageDirectlyResultRequestHeader(Header):
    consumer_group: str
    client_id: str | None = None
    msg_id: str | None = None
    broker_name: str | None = None
    topic: str | None = None
    topic_sys_flag: Int32 | None = None
    group_sys_flag: Int32 | None = None


# Administration of a broker


class CreateTopicRequestHeader(Header):
    """Code 17."""

    topic: str
    default_topic: str
    read_queue_nums: Int32
    write_queue_nums: Int32
    perm: Int32
    topic_filter_type: str
    topic_sys_flag: Int32 | None = None
    order: bool = False
    attributes: str | None = None
    force: bool | None = None


class TopicRequestHeader(Header):
    """Codes 202, 215, 217, 300 and 351: nothing but the topic."""

    topic: str


DeleteTopicRequestHeader = GetTopicStatsInfoRequestHeader = GetTopicConfigRequestHeader = TopicRequestHeader


class DeleteSubscriptionGroupRequestHeader(Header):
    """Clients before 5.0 call the wish to forget the group's offsets `remove_offset`."""

    group_name: str
    clean_offset: bool | None = None
    remove_offset: bool | None = None


class GetSubscriptionGroupConfigRequestHeader(Header):
    group: str


class GroupAndTopicRequestHeader(Header):
    """Codes 303 and 345."""

    group: str
    topic: str


class UpdateGroupForbiddenRequestHeader(Header):
    """Code 353; without `readable` it only asks."""

    group: str
    topic: str
    readable: bool | None = None


class CloneGroupOffsetRequestHeader(Header):
    """Code 314; without a topic, all topics of the source group. `offline`: whatever that subscribes to now."""

    src_group: str
    dest_group: str
    topic: str | None = None
    offline: bool = False


class QueryCorrectionOffsetRequestHeader(Header):
    """Code 308; `filter_groups` are left out, separated by commas."""

    compare_group: str
    topic: str
    filter_groups: str | None = None


class ViewBrokerStatsDataRequestHeader(Header):
    stats_name: str
    stats_key: str


class GetConsumeStatsInBrokerRequestHeader(Header):
    is_order: bool = False


class QueryConsumeQueueRequestHeader(Header):
    topic: str
    queue_id: Int32
    index: Int64 = 0
    count: Int32 = 0
    consumer_group: str | None = None


class ResumeCheckHalfMessageRequestHeader(Header):
    """Code 323; `msg_id` is an offset message id."""

    topic: str | None = None
    msg_id: str | None = None


class GetAllTopicConfigRequestHeader(Header):
    topic_seq: Int32 | None = None
    data_version: str | None = None
    max_topic_num: Int32 | None = None


class GetAllSubscriptionGroupRequestHeader(Header):
    group_seq: Int32 | None = None
    data_version: str | None = None
    max_group_num: Int32 | None = None


class GetConsumeStatsRequestHeader(Header):
    consumer_group: str
    topic: str | None = None
    topic_list: str | None = None


# Name server


class PutKVConfigRequestHeader(Header):
    namespace: str
    key: str
    value: str


class KVConfigRequestHeader(Header):
    """Codes 101 (get) and 102 (delete)."""

    namespace: str
    key: str


GetKVConfigRequestHeader = DeleteKVConfigRequestHeader = KVConfigRequestHeader


class GetKVConfigResponseHeader(Header):
    value: str | None = None


class GetKVListByNamespaceRequestHeader(Header):
    namespace: str


class RegisterBrokerRequestHeader(Header):
    """Code 103; `body_crc32` is the CRC-32 of the body as sent & 0x7FFFFFFF, 0 to skip the check."""

    broker_name: str
    broker_addr: str
    cluster_name: str
    ha_server_addr: str
    broker_id: Int64
    heartbeat_timeout_millis: Int64 | None = None
    enable_acting_master: bool | None = None
    compressed: bool = False
    body_crc32: Int32 = msgspec.field(default=0, name="bodyCrc32")


class RegisterBrokerResponseHeader(Header):
    ha_server_addr: str | None = None
    master_addr: str | None = None


class UnRegisterBrokerRequestHeader(Header):
    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: Int64


class QueryDataVersionRequestHeader(Header):
    broker_name: str
    broker_addr: str
    cluster_name: str
    broker_id: Int64


class GetRouteInfoRequestHeader(Header):
    topic: str
    accept_standard_json_only: bool | None = None


class BrokerNameRequestHeader(Header):
    """Codes 205 (wipe write permission) and 327 (add it)."""

    broker_name: str


class DeleteTopicFromNamesrvRequestHeader(Header):
    topic: str
    cluster_name: str | None = None


class GetTopicsByClusterRequestHeader(Header):
    cluster: str


class GetBrokerMemberGroupRequestHeader(Header):
    cluster_name: str
    broker_name: str


class BrokerHeartbeatRequestHeader(Header):
    """Code 904; the name of the timeout is RocketMQ's."""

    cluster_name: str
    broker_addr: str
    broker_name: str
    broker_id: Int64 | None = None
    heartbeat_timeout_mills: Int64 | None = None


# POP


class PopMessageRequestHeader(Header):
    """Code 200050; `queue_id` -1 is any, `init_mode` 0 begins a new group at the first message, 1 at the last."""

    consumer_group: str
    topic: str
    queue_id: Int32
    max_msg_nums: Int32
    invisible_time: Int64
    poll_time: Int64
    born_time: Int64
    init_mode: Int32
    exp_type: str | None = None
    exp: str | None = None
    order: bool | None = None
    attempt_id: str | None = None


class PopMessageResponseHeader(Header):
    pop_time: Int64
    invisible_time: Int64
    revive_qid: Int32
    rest_num: Int64
    start_offset_info: str | None = None
    msg_offset_info: str | None = None
    order_count_info: str | None = None


class PeekMessageRequestHeader(Header):
    """Code 200052; answered with a `PopMessageResponseHeader` of which only `rest_num` says something."""

    consumer_group: str
    topic: str
    queue_id: Int32
    max_msg_nums: Int32


class NotificationRequestHeader(Header):
    """Code 200054; times in ms."""

    consumer_group: str
    topic: str
    queue_id: Int32
    poll_time: Int64
    born_time: Int64
    order: bool | None = None
    attempt_id: str | None = None


class NotificationResponseHeader(Header):
    has_msg: bool
    polling_full: bool = False


class PollingInfoRequestHeader(Header):
    """Code 200055."""

    consumer_group: str
    topic: str
    queue_id: Int32


class PollingInfoResponseHeader(Header):
    polling_num: Int32


class AckMessageRequestHeader(Header):
    """Code 200051; `extra_info` is the receipt, `offset` the message's queue offset."""

    consumer_group: str
    topic: str
    queue_id: Int32
    extra_info: str
    offset: Int64


class ChangeInvisibleTimeRequestHeader(AckMessageRequestHeader, kw_only=True):
    """Code 200053."""

    invisible_time: Int64


class ChangeInvisibleTimeResponseHeader(Header):
    pop_time: Int64
    invisible_time: Int64
    revive_qid: Int32
