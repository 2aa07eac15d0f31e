"""Bodies: exactly what Java writes, and everything that clients have been seen to send."""

from __future__ import annotations

import pytest

from mq.errors import RemoteProtocolError
from mq.message import MessageQueue
from mq.remoting.bodies import (
    Body,
    BrokerData,
    ClusterInfo,
    ConsumerData,
    DataVersion,
    GetBrokerMemberGroupResponseBody,
    GetConsumerListByGroupResponseBody,
    HeartbeatData,
    KVTable,
    LockBatchRequestBody,
    LockBatchResponseBody,
    QueueData,
    RegisterBrokerBody,
    SubscriptionGroupConfig,
    SubscriptionGroupWrapper,
    TopicConfig,
    TopicConfigSerializeWrapper,
    TopicList,
    TopicRouteData,
)

JAVA_TEXTS: dict[type[Body], str] = {
    ClusterInfo: '{"brokerAddrTable":{"b-a":{"brokerAddrs":{0:"127.0.0.1:10911",1:"127.0.0.1:10921"},"brokerName":'
    '"b-a",'
    '"cluster":"C","enableActingMaster":false}},"clusterAddrTable":{"C":["b-a"]}}',
    TopicRouteData: '{"brokerDatas":[{"brokerAddrs":{0:"127.0.0.1:10911"},"brokerName":"b-a","cluster":"C",'
    '"enableActingMaster":false}],"filterServerTable":{},"orderTopicConf":"b-a:4","queueDatas":[{"brokerName":"b-a",'
    '"perm":6,"readQueueNums":8,"topicSysFlag":0,"writeQueueNums":8}]}',
    TopicList: '{"brokerAddr":"h:1","topicList":["t1"]}',
    KVTable: '{"table":{"k":"v"}}',
    DataVersion: '{"counter":3,"stateVersion":0,"timestamp":1700000000000}',
    TopicConfig: '{"attributes":{},"order":false,"perm":6,"readQueueNums":8,"topicFilterType":"SINGLE_TAG",'
    '"topicName":"T","topicSysFlag":0,"writeQueueNums":8}',
    SubscriptionGroupConfig: '{"attributes":{},"brokerId":0,"consumeBroadcastEnable":true,"consumeEnable":true,'
    '"consumeFromMinEnable":true,"consumeMessageOrderly":false,"consumeTimeoutMinute":15,"groupName":"g",'
    '"groupRetryPolicy":{"type":"CUSTOMIZED"},"groupSysFlag":0,"notifyConsumerIdsChangedEnable":true,'
    '"retryMaxTimes":16,"retryQueueNums":1,"whichBrokerWhenConsumeSlowly":1}',
    SubscriptionGroupWrapper: '{"dataVersion":{"counter":0,"stateVersion":0,"timestamp":0},"forbiddenTable":{},'
    '"subscriptionGroupTable":{}}',
    HeartbeatData: '{"clientID":"cid","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET",'
    '"consumeType":"CONSUME_PASSIVELY","groupName":"g","messageModel":"CLUSTERING","subscriptionDataSet":[{'
    '"classFilterMode":false,"codeSet":[65,66],"expressionType":"TAG","subString":"A||B","subVersion":1700000000000,'
    '"tagsSet":["A","B"],"topic":"T"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{'
    '"groupName":"pg"}],"withoutSub":false}',
    GetConsumerListByGroupResponseBody: '{"consumerIdList":["cid-1","cid-2"]}',
    LockBatchRequestBody: '{"clientId":"cid","consumerGroup":"g","mqSet":[{"brokerName":"b","queueId":0,"topic":"T"}],'
    '"onlyThisBroker":false}',
    LockBatchResponseBody: '{"lockOKMQSet":[{"brokerName":"b","queueId":0,"topic":"T"}]}',
    GetBrokerMemberGroupResponseBody: '{"brokerMemberGroup":{"brokerAddrs":{0:"a"},"brokerName":"b","cluster":"C"}}',
}


@pytest.mark.parametrize(("body", "text"), JAVA_TEXTS.items(), ids=[body.__name__ for body in JAVA_TEXTS])
class TestJavaTexts:
    def test_are_read_and_written_byte_for_byte(self, body, text):
        assert body.from_json(text.encode()).to_json().decode() == text

    def test_are_read_with_blanks_and_a_newline_at_the_end(self, body, text):
        spaced = text.replace(":", " : ").replace("127.0.0.1 : ", "127.0.0.1:").replace("h : 1", "h:1")

        assert body.from_json(spaced.replace("b-a : 4", "b-a:4").encode() + b"\n") == body.from_json(text.encode())


class TestRoute:
    def test_quotes_integer_keys_for_readers_of_standard_json(self):
        route = TopicRouteData([BrokerData("C", "b-a", {0: "127.0.0.1:10911"})], [QueueData("b-a", 4, 4, 6)])

        text = route.to_json(bare_keys=False).decode()

        assert '"brokerAddrs":{"0":"127.0.0.1:10911"}' in text
        assert TopicRouteData.from_json(text.encode()) == route

    def test_holds_no_blanks_because_go_splits_the_text_itself(self):
        route = TopicRouteData([BrokerData("C", "b-a", {0: "h:1", 1: "h:2"})], [QueueData("b-a", 4, 4, 6)])

        assert b" " not in route.to_json()
        assert b" " not in route.to_json(bare_keys=False)


class TestHeartbeat:
    def test_of_cpp_has_ordinals_and_texts_for_numbers(self):
        heartbeat = HeartbeatData.from_json(
            b'{"clientID":"PID-127.0.0.1@DEFAULT","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,'
            b'"groupName":"g","messageModel":0,"subscriptionDataSet":[{"codeSet":[0,0],"subString":"A || C",'
            b'"subVersion":"1700000000000","topic":"T"}]}],"producerDataSet":null}\n'
        )

        (consumer,) = heartbeat.consumer_data_set
        assert (consumer.consume_type, consumer.message_model) == ("CONSUME_PASSIVELY", "BROADCASTING")
        assert consumer.consume_from_where == "CONSUME_FROM_FIRST_OFFSET"
        assert consumer.subscription_data_set[0].sub_version == 1_700_000_000_000
        assert heartbeat.producer_data_set == []

    def test_lacks_whatever_a_client_does_not_send(self):
        assert ConsumerData.from_json(b'{"groupName":"g"}') == ConsumerData("g")

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            (b"", "JSON"),
            (b"[]", "HeartbeatData"),
            (b"{}", "clientID"),
            (b'{"clientID":5}', "clientID"),
            (b'{"clientID":"c","producerDataSet":{}}', "producerDataSet"),
            (b'{"clientID":"c","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nest|recursion"),
        ],
    )
    def test_that_is_none_is_refused_with_the_reason(self, text, complaint):
        with pytest.raises(RemoteProtocolError, match=complaint):
            HeartbeatData.from_json(text)


class TestTables:
    def test_are_read_from_config_files_too(self):
        wrapper = TopicConfigSerializeWrapper(DataVersion(0, 5, 1), {"T": TopicConfig("T", 8, 8)})

        assert TopicConfigSerializeWrapper.from_json(wrapper.to_dict()) == wrapper
        assert TopicConfigSerializeWrapper.from_json({}) == TopicConfigSerializeWrapper()

    def test_a_changed_version_is_never_equal_to_the_one_before(self):
        version = DataVersion(0, 1_700_000_000_000, 1)

        assert version.next(1_700_000_000_000) != version

    def test_a_registration_carries_topics_and_their_version(self):
        wrapper = TopicConfigSerializeWrapper(DataVersion(0, 5, 1), {"T": TopicConfig("T", 8, 8)})

        read = RegisterBrokerBody.from_json(RegisterBrokerBody(wrapper).to_json())

        assert read.topic_config_serialize_wrapper == wrapper

    def test_the_quick_way_to_write_a_registration_writes_the_same_text(self):
        topics = {name: TopicConfig(name, 8, 4, attributes={"message.type": "FIFO"}) for name in ("b", "a", "%RETRY%ü")}
        body = RegisterBrokerBody(TopicConfigSerializeWrapper(DataVersion(0, 5, 1), topics), ["f"])
        sorted_topics = dict(sorted(topics.items()))
        the_long_way = RegisterBrokerBody(TopicConfigSerializeWrapper(DataVersion(0, 5, 1), sorted_topics), ["f"])

        assert body.to_json() == Body.to_json(the_long_way)

    def test_queues_to_lock_are_message_queues(self):
        read = LockBatchResponseBody.from_json(b'{"lockOKMQSet":[{"brokerName":"b","queueId":2,"topic":"T"}]}')

        assert read.lock_ok_mq_set == [MessageQueue("T", "b", 2)]
