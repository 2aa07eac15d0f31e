package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Consuming by SQL92 expression, and broadcasting. The broker runs with enablePropertyFilter=true. */
class FilterTest {
    private static final String DEAR = "price > 10 AND TAGS IN ('A', 'B')";

    private DefaultMQProducer producer;

    @BeforeEach
    void startProducer() throws Exception {
        producer = Clients.producer();
    }

    @AfterEach
    void stopProducer() {
        producer.shutdown();
    }

    @Test
    void pushConsumerGetsWhatItsExpressionSelects() throws Exception {
        String topic = Clients.topic("sql");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = bySql(topic, DEAR);
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        consumer.start();

        sendPrices(topic);

        assertEquals(Set.of("A15", "B25"), new TreeSet<>(List.of(text(inbox.next()), text(inbox.next()))));
        assertNull(inbox.within(500));
        consumer.shutdown();
    }

    @Test
    void whatFailedComesAgainThoughTheRetryTopicHasNoExpression() throws Exception {
        String topic = Clients.topic("sqlretry");
        Clients.Inbox inbox = new Clients.Inbox();
        AtomicInteger failures = new AtomicInteger();
        DefaultMQPushConsumer consumer = bySql(topic, "price = 15");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            if (failures.getAndIncrement() == 0) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            return inbox.consumeMessage(batch, context);
        });
        consumer.start();

        sendPrices(topic);

        MessageExt again = inbox.next();
        assertEquals("A15", text(again));
        assertEquals(1, again.getReconsumeTimes());
        consumer.shutdown();
    }

    @Test
    void aWrongExpressionIsRefusedAtTheStart() throws Exception {
        String topic = Clients.topic("sqlwrong");
        DefaultMQPushConsumer consumer = bySql(topic, "price >");
        consumer.registerMessageListener((MessageListenerConcurrently) new Clients.Inbox());

        MQClientException refused = assertThrows(MQClientException.class, consumer::start);

        assertEquals(23, refused.getResponseCode());
        consumer.shutdown();
    }

    @Test
    void pullConsumerGetsWhatItsExpressionSelectsAndGoesOnBehindTheRest() throws Exception {
        String topic = Clients.topic("sqlpull");
        sendPrices(topic);
        DefaultMQPullConsumer consumer = Clients.configured(new DefaultMQPullConsumer(Clients.unique("g")));
        consumer.start();

        Set<String> texts = new TreeSet<>();
        for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(topic)) {
            long end = consumer.maxOffset(queue);
            for (long offset = 0; offset < end; ) {
                PullResult result = pull(consumer, queue, MessageSelector.bySql("price > 10"), offset);
                if (result.getMsgFoundList() != null) result.getMsgFoundList().forEach(m -> texts.add(text(m)));
                offset = result.getNextBeginOffset();
            }
        }

        assertEquals(Set.of("A15", "B25", "C35"), texts);
        consumer.shutdown();
    }

    @Test
    void liteConsumerGetsWhatItsExpressionSelects() throws Exception {
        String topic = Clients.topic("sqllite");
        DefaultLitePullConsumer consumer = Clients.configured(new DefaultLitePullConsumer(Clients.unique("g")));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, MessageSelector.bySql("price BETWEEN 20 AND 30"));
        consumer.start();

        sendPrices(topic);

        List<String> texts = new ArrayList<>();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (texts.isEmpty() && System.nanoTime() < deadline) consumer.poll(500).forEach(m -> texts.add(text(m)));
        assertEquals(List.of("B25"), texts);
        consumer.shutdown();
    }

    @Test
    void everyMemberOfABroadcastGetsEverythingAndGoesOnWhereItStopped() throws Exception {
        String topic = Clients.topic("broadcast");
        String group = Clients.unique("g");
        Clients.Inbox first = new Clients.Inbox();
        Clients.Inbox second = new Clients.Inbox();
        DefaultMQPushConsumer one = broadcast(group, topic, first);
        String instance = Clients.unique("member");
        one.setInstanceName(instance);
        one.start();
        DefaultMQPushConsumer two = broadcast(group, topic, second);
        two.start();

        for (int i = 0; i < 10; i++) producer.send(message(topic, "A", "m" + i));

        Set<String> all = Set.of("m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9");
        assertEquals(all, texts(first, 10));
        assertEquals(all, texts(second, 10));
        one.shutdown();
        producer.send(message(topic, "A", "later"));
        Clients.Inbox again = new Clients.Inbox();
        DefaultMQPushConsumer back = broadcast(group, topic, again);
        back.setInstanceName(instance);
        back.start();
        assertEquals("later", text(again.next()));
        assertNull(again.within(300));
        back.shutdown();
        two.shutdown();
    }

    /** A client pulls by expression only from brokers whose version it knows: from the answer to its first heartbeat, up to a second later. */
    private static PullResult pull(DefaultMQPullConsumer consumer, MessageQueue queue, MessageSelector selector, long offset)
            throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (true) {
            try {
                return consumer.pull(queue, selector, offset, 32);
            } catch (MQClientException notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }

    private static DefaultMQPushConsumer bySql(String topic, String expression) throws Exception {
        DefaultMQPushConsumer consumer = Clients.configured(new DefaultMQPushConsumer(Clients.unique("g")));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, MessageSelector.bySql(expression));
        return consumer;
    }

    private static DefaultMQPushConsumer broadcast(String group, String topic, Clients.Inbox inbox) throws Exception {
        DefaultMQPushConsumer consumer = Clients.consumer(group, topic, "*");
        consumer.setMessageModel(MessageModel.BROADCASTING);
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        return consumer;
    }

    private void sendPrices(String topic) throws Exception {
        for (String text : List.of("A5", "A15", "B25", "C35")) {
            Message message = message(topic, text.substring(0, 1), text);
            message.putUserProperty("price", text.substring(1));
            producer.send(message);
        }
    }

    private static Set<String> texts(Clients.Inbox inbox, int count) throws InterruptedException {
        Set<String> found = new TreeSet<>();
        for (int i = 0; i < count; i++) found.add(text(inbox.next()));
        return found;
    }
}
