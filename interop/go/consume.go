package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

var consumeCases = []testCase{
	{"concurrent consumer", consumeAll},
	{"consumer of two tags", consumeTags},
	{"orderly consumer", consumeOrderly},
	{"delay level", consumeDelayed},
	{"failed message comes again, then is a dead letter", consumeAgain},
	{"offsets are remembered", consumeOnwards},
	{"pull consumer polls and acknowledges", pollMessages},
}

type listener func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

func startConsumer(group string, topic string, expression string, listen listener, options ...consumer.Option) rocketmq.PushConsumer {
	options = append(options, consumer.WithNameServer(namesrv), consumer.WithGroupName(group), consumer.WithInstance(unique(group)),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	c, err := rocketmq.NewPushConsumer(options...)
	must(err)
	must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression}, listen))
	must(c.Start())
	return c
}

// into hands every message to the channel as what it says.
func into(bodies chan<- string) listener {
	return func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			bodies <- string(message.Body)
		}
		return consumer.ConsumeSuccess, nil
	}
}

// consumed is what a new group gets from a topic, sorted.
func consumed(topic string, count int) string {
	return consumedBy(unique("go_group"), topic, "*", count)
}

func consumedBy(group string, topic string, expression string, count int) string {
	bodies := make(chan string, 1000)
	c := startConsumer(group, topic, expression, into(bodies))
	defer c.Shutdown()
	var got []string
	for len(got) < count {
		got = append(got, awaited(bodies))
	}
	time.Sleep(300 * time.Millisecond) // for what should not come
	for len(bodies) > 0 {
		got = append(got, <-bodies)
	}
	sort.Strings(got)
	return strings.Join(got, " ")
}

func sendAll(topic string, messages ...*primitive.Message) {
	p := newProducer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	defer p.Shutdown()
	for _, message := range messages {
		message.Topic = topic
		_, err := p.SendSync(background(), message)
		must(err)
	}
}

func consumeAll() string {
	topic := newTopic("go_consume")
	sendAll(topic, text("one", topic), text("two", topic), text("three", topic))
	return consumed(topic, 3)
}

func consumeTags() string {
	topic := newTopic("go_tags")
	var messages []*primitive.Message
	for _, tag := range []string{"blue", "red", "black", "green"} {
		messages = append(messages, primitive.NewMessage(topic, []byte(tag)).WithTag(tag))
	}
	sendAll(topic, messages...)
	return consumedBy(unique("go_group"), topic, "red || green", 2)
}

func consumeOrderly() string {
	topic := newTopic("go_orderly")
	var messages []*primitive.Message
	for i := 0; i < 10; i++ {
		messages = append(messages, text(fmt.Sprint(i), topic).WithShardingKey("one key"))
	}
	sendAll(topic, messages...)
	bodies := make(chan string, 1000)
	c := startConsumer(unique("go_group"), topic, "*", into(bodies), consumer.WithConsumerOrder(true))
	defer c.Shutdown()
	var got []string
	for range messages {
		got = append(got, awaited(bodies))
	}
	return strings.Join(got, " ")
}

func consumeDelayed() string {
	topic := newTopic("go_delay")
	held := make(chan string, 10)
	c := startConsumer(unique("go_group"), topic, "*", func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		for _, message := range messages {
			if message.StoreTimestamp-message.BornTimestamp < 2000 {
				held <- "too early"
			} else {
				held <- "not before 2 s, with DELAY " + message.GetProperty(primitive.PropertyDelayTimeLevel)
			}
		}
		return consumer.ConsumeSuccess, nil
	})
	defer c.Shutdown()
	sendAll(topic, text("later", topic).WithDelayTimeLevel(2))
	return awaited(held)
}

func consumeAgain() string {
	topic, group := newTopic("go_retry"), unique("go_group")
	attempts := make(chan string, 10)
	c := startConsumer(group, topic, "*", func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		attempts <- fmt.Sprint(messages[0].ReconsumeTimes)
		return consumer.ConsumeRetryLater, nil
	}, consumer.WithMaxReconsumeTimes(1))
	defer c.Shutdown()
	sendAll(topic, text("poison", topic))
	tries := awaited(attempts) + " and " + awaited(attempts)
	return fmt.Sprintf("tried with %s retries; dead letter %s", tries, consumedOnceThere("%DLQ%"+group))
}

// consumedOnceThere waits for a topic that somebody is about to make.
func consumedOnceThere(topic string) string {
	p := newProducer()
	defer p.Shutdown()
	bodies := make(chan string, 10)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if hasRoute(topic) {
			break
		}
	}
	c := startConsumer(unique("go_group"), topic, "*", into(bodies))
	defer c.Shutdown()
	return awaited(bodies)
}

func consumeOnwards() string {
	topic, group := newTopic("go_onwards"), unique("go_group")
	sendAll(topic, text("before", topic))
	first := consumedBy(group, topic, "*", 1)
	sendAll(topic, text("after", topic))
	return fmt.Sprintf("%s, then %s", first, consumedBy(group, topic, "*", 1))
}

func pollMessages() string {
	topic, group := newTopic("go_poll"), unique("go_group")
	sendAll(topic, text("one", topic), text("two", topic), text("three", topic))
	c, err := rocketmq.NewPullConsumer(consumer.WithNameServer(namesrv), consumer.WithGroupName(group), consumer.WithInstance(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
	must(err)
	must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}))
	must(c.Start())
	defer c.Shutdown()
	var got []string
	for deadline := time.Now().Add(patience); len(got) < 3 && time.Now().Before(deadline); {
		request, err := c.Poll(background(), time.Second)
		if err != nil {
			if !consumer.IsNoNewMsgError(err) && !errors.Is(err, context.DeadlineExceeded) {
				time.Sleep(100 * time.Millisecond)
			}
			continue
		}
		for _, message := range request.GetMsgList() {
			got = append(got, string(message.Body))
		}
		c.ACK(background(), request, consumer.ConsumeSuccess)
	}
	sort.Strings(got)
	return strings.Join(got, " ")
}
