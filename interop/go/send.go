package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var sendCases = []testCase{
	{"synchronous sends to one queue", sendSync},
	{"asynchronous send", sendAsync},
	{"batch of three", sendBatch},
	{"send to a topic that is not there", sendToUnknownTopic},
	{"body over the limit", sendTooMuch},
	{"topic made, found and deleted", administerTopic},
}

func newProducer(options ...producer.Option) rocketmq.Producer {
	group := unique("go_producers")
	options = append(options, producer.WithNameServer(namesrv), producer.WithGroupName(group), producer.WithInstanceName(group),
		producer.WithSendMsgTimeout(patience))
	p, err := rocketmq.NewProducer(options...)
	must(err)
	must(p.Start())
	return p
}

func newTopic(prefix string) string {
	topic := unique(prefix)
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(namesrv)))
	must(err)
	defer a.Close()
	must(a.CreateTopic(background(), admin.WithTopicCreate(topic), admin.WithBrokerAddrCreate(broker)))
	return topic
}

func text(body string, topic string) *primitive.Message {
	return primitive.NewMessage(topic, []byte(body)).WithTag("A").WithKeys([]string{body})
}

func inQueueZero(message *primitive.Message) *primitive.Message {
	message.Queue = &primitive.MessageQueue{Topic: message.Topic, BrokerName: "broker-a", QueueId: 0}
	return message
}

func sendSync() string {
	p, topic := newProducer(producer.WithQueueSelector(producer.NewManualQueueSelector())), newTopic("go_sync")
	defer p.Shutdown()
	var seen []string
	for _, body := range []string{"one", "two"} {
		result, err := p.SendSync(background(), inQueueZero(text(body, topic)))
		must(err)
		seen = append(seen, fmt.Sprintf("%s at %d with an id of %d digits", status(result), result.QueueOffset, len(result.OffsetMsgID)))
	}
	return strings.Join(seen, ", then ")
}

func status(result *primitive.SendResult) string {
	if result.Status == primitive.SendOK {
		return "SEND_OK"
	}
	return fmt.Sprintf("status %d", result.Status)
}

func sendAsync() string {
	p, topic := newProducer(), newTopic("go_async")
	defer p.Shutdown()
	answers := make(chan string, 1)
	must(p.SendAsync(background(), func(_ context.Context, result *primitive.SendResult, err error) {
		if err != nil {
			answers <- "FAILED: " + err.Error()
		} else {
			answers <- status(result)
		}
	}, text("async", topic)))
	return awaited(answers)
}

func sendBatch() string {
	p, topic := newProducer(), newTopic("go_batch")
	defer p.Shutdown()
	result, err := p.SendSync(background(), text("b0", topic), text("b1", topic), text("b2", topic))
	must(err)
	return fmt.Sprintf("%s, %d offset ids; consumed %s", status(result), len(strings.Split(result.OffsetMsgID, ",")), consumed(topic, 3))
}

func sendToUnknownTopic() string {
	p, topic := newProducer(), unique("go_auto")
	defer p.Shutdown()
	result, err := p.SendSync(background(), text("first", topic))
	must(err)
	return fmt.Sprintf("%s; consumed %s", status(result), consumed(topic, 1))
}

func sendTooMuch() string {
	p, topic := newProducer(producer.WithRetry(0), producer.WithCompressMsgBodyOverHowmuch(1<<30)), newTopic("go_big")
	defer p.Shutdown()
	_, err := p.SendSync(background(), primitive.NewMessage(topic, make([]byte, 5<<20)))
	code, _, _ := strings.Cut(fmt.Sprint(err), ", DESC")
	return "error " + code
}

func administerTopic() string {
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(namesrv)))
	must(err)
	defer a.Close()
	topic := newTopic("go_admin")
	queues, err := a.FetchPublishMessageQueues(background(), topic)
	must(err)
	groups, err := a.GetAllSubscriptionGroup(background(), broker, patience)
	must(err)
	_, isThere := groups.SubscriptionGroupTable["TOOLS_CONSUMER"]
	must(a.DeleteTopic(background(), admin.WithTopicDelete(topic), admin.WithBrokerAddrDelete(broker),
		admin.WithNameSrvAddr(namesrv)))
	topics, err := a.FetchAllTopicList(background())
	must(err)
	for _, one := range topics.TopicList {
		if one == topic {
			return "still listed"
		}
	}
	return fmt.Sprintf("%d queues, TOOLS_CONSUMER among the groups: %v, gone after the deletion", len(queues), isThere)
}
