package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageRequestMode;
import org.apache.rocketmq.remoting.protocol.subscription.SubscriptionGroupConfig;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Push consumers that leave the dividing of queues to the broker, which has them consume by POP. */
@Tag("pop")
class PopTest {
    private static final int MESSAGES = 20;
    /**
     * Either broker gives a message once more that is not acknowledged in time, as it should, and Apache's may do so when
     * less than 3 s were left. A crowded machine takes seconds now and then, so the clients' shortest time, 5 s, is too short.
     */
    private static final long INVISIBLE_MILLIS = 15_000;
    /** Until then whatever is given twice has come. */
    private static final long UNTIL_VISIBLE_MILLIS = INVISIBLE_MILLIS + 1000;

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
    void everyMessageComesOnce() throws Exception {
        String topic = Clients.topic("pop");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = byPop(Clients.unique("pops"), topic, "*", inbox);

        send(topic);

        assertEquals(all(), received(inbox));
        assertNull(inbox.within(UNTIL_VISIBLE_MILLIS), "what was acknowledged came again");
        consumer.shutdown();
    }

    @Test
    void twoMembersShareTheMessages() throws Exception {
        String topic = Clients.topic("popshared");
        String group = Clients.unique("pops");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer first = byPop(group, topic, "*", inbox);
        DefaultMQPushConsumer second = byPop(group, topic, "*", inbox);

        send(topic);

        assertEquals(all(), received(inbox));
        assertNull(inbox.within(1000));
        first.shutdown();
        second.shutdown();
    }

    @Test
    void whatFailedComesAgain() throws Exception {
        String topic = Clients.topic("popretry");
        Clients.Inbox inbox = new Clients.Inbox();
        AtomicInteger failures = new AtomicInteger();
        DefaultMQPushConsumer consumer = byPop(Clients.unique("pops"), topic, "*", (batch, context) -> {
            if (failures.getAndIncrement() == 0) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            return inbox.consumeMessage(batch, context);
        });

        producer.send(message(topic, "A", "placed"));

        MessageExt again = inbox.next();
        assertEquals("placed", text(again));
        assertEquals(topic, again.getTopic());
        assertEquals(1, again.getReconsumeTimes());
        assertNull(inbox.within(UNTIL_VISIBLE_MILLIS), "what was acknowledged came again");
        consumer.shutdown();
    }

    @Test
    void onlyTheTagsAskedForCome() throws Exception {
        String topic = Clients.topic("poptags");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = byPop(Clients.unique("pops"), topic, "B", inbox);

        producer.send(message(topic, "A", "placed"));
        producer.send(message(topic, "B", "paid"));

        assertEquals("paid", text(inbox.next()));
        assertNull(inbox.within(500));
        consumer.shutdown();
    }

    private void send(String topic) throws Exception {
        for (int number = 0; number < MESSAGES; number++) {
            producer.send(message(topic, "A", "m" + number));
        }
    }

    private static Set<String> all() {
        Set<String> texts = new TreeSet<>();
        for (int number = 0; number < MESSAGES; number++) texts.add("m" + number);
        return texts;
    }

    private static Set<String> received(Clients.Inbox inbox) throws Exception {
        Set<String> texts = new TreeSet<>();
        for (int number = 0; number < MESSAGES; number++) texts.add(text(inbox.next()));
        return texts;
    }

    private static DefaultMQPushConsumer byPop(
            String group, String topic, String tags, MessageListenerConcurrently listener) throws Exception {
        DefaultMQAdminExt admin = Clients.admin();
        try {
            String broker = admin.examineTopicRouteInfo(topic).getBrokerDatas().get(0).selectBrokerAddr();
            SubscriptionGroupConfig config = new SubscriptionGroupConfig();
            config.setGroupName(group);
            admin.createAndUpdateSubscriptionGroupConfig(broker, config);
            admin.setMessageRequestMode(broker, topic, group, MessageRequestMode.POP, 0, 3000);
        } finally {
            admin.shutdown();
        }
        DefaultMQPushConsumer consumer = Clients.consumer(group, topic, tags);
        consumer.setClientRebalance(false);
        consumer.setPopInvisibleTime(INVISIBLE_MILLIS);
        consumer.registerMessageListener(listener);
        consumer.start();
        return consumer;
    }
}
