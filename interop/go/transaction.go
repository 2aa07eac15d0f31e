package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/admin"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var otherCases = []testCase{
	{"transaction committed", func() string { return transaction(primitive.CommitMessageState, primitive.UnknowState) }},
	{"transaction rolled back", func() string { return transaction(primitive.RollbackMessageState, primitive.CommitMessageState) }},
	{"transaction committed when asked", func() string { return transaction(primitive.UnknowState, primitive.CommitMessageState) }},
	{"request and reply", requestReply},
}

// states answers the local transaction with one state and every check with another.
type states struct {
	atOnce, whenChecked primitive.LocalTransactionState
	checks              int32
}

func (s *states) ExecuteLocalTransaction(*primitive.Message) primitive.LocalTransactionState {
	return s.atOnce
}

func (s *states) CheckLocalTransaction(*primitive.MessageExt) primitive.LocalTransactionState {
	atomic.AddInt32(&s.checks, 1)
	return s.whenChecked
}

func transaction(atOnce, whenChecked primitive.LocalTransactionState) string {
	topic, group, answers := newTopic("go_transaction"), unique("go_payers"), &states{atOnce: atOnce, whenChecked: whenChecked}
	p, err := rocketmq.NewTransactionProducer(answers, producer.WithNameServer(namesrv), producer.WithGroupName(group),
		producer.WithInstanceName(group), producer.WithSendMsgTimeout(patience))
	must(err)
	must(p.Start())
	defer p.Shutdown()
	bodies := make(chan string, 10)
	c := startConsumer(unique("go_group"), topic, "*", into(bodies))
	defer c.Shutdown()
	_, err = p.SendMessageInTransaction(background(), text("half", topic))
	must(err)
	if atOnce == primitive.RollbackMessageState {
		time.Sleep(6 * time.Second) // longer than the broker waits before it would ask
		return fmt.Sprintf("%d messages, asked %d times", len(bodies), atomic.LoadInt32(&answers.checks))
	}
	return fmt.Sprintf("%s arrives, was asked: %v", awaited(bodies), atomic.LoadInt32(&answers.checks) > 0)
}

func requestReply() string {
	topic, replier := newTopic("go_request"), newProducer()
	defer replier.Shutdown()
	c := startConsumer(unique("go_group"), topic, "*", func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			reply, err := consumer.CreateReplyMessage(message, nil)
			must(err)
			reply.Body = append([]byte("re: "), message.Body...) // CreateReplyMessage forgets the body it is given
			untilKnown(func() error {
				_, err := replier.SendSync(background(), reply)
				return err
			})
		}
		return consumer.ConsumeSuccess, nil
	})
	defer c.Shutdown()
	requester := newProducer()
	defer requester.Shutdown()
	reply, err := requester.Request(background(), patience, text("ping", topic))
	must(err)
	return string(reply.Body)
}

// untilKnown replies again and again: a requester is known to the broker only by its heartbeat, which this client sends
// a second after its start, and if it then knew no broker, 30 seconds later.
func untilKnown(reply func() error) {
	for deadline := time.Now().Add(patience); reply() != nil && time.Now().Before(deadline); time.Sleep(time.Second) {
	}
}

func hasRoute(topic string) bool {
	a, err := admin.NewAdmin(admin.WithResolver(primitive.NewPassthroughResolver(namesrv)))
	must(err)
	defer a.Close()
	topics, err := a.FetchAllTopicList(background())
	must(err)
	for _, one := range topics.TopicList {
		if one == topic {
			return true
		}
	}
	return false
}
