package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class ConsumeTest {
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
    void concurrentConsumersShareTheQueuesAndMissNothing() throws Exception {
        String topic = Clients.topic("shared");
        String group = Clients.unique("g");
        Set<String> texts = Collections.synchronizedSet(new HashSet<>());
        CountDownLatch all = new CountDownLatch(300);
        List<DefaultMQPushConsumer> consumers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = Clients.consumer(group, topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
                for (MessageExt m : batch) if (texts.add(text(m))) all.countDown();
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            consumers.add(consumer);
        }

        for (int i = 0; i < 300; i++) producer.send(message(topic, "A", "m" + i));

        assertTrue(all.await(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS), "missing " + all.getCount());
        consumers.forEach(DefaultMQPushConsumer::shutdown);
    }

    @Test
    void orderlyConsumerSeesEachKeyInTheOrderItWasSent() throws Exception {
        String topic = Clients.topic("orderly");
        Map<String, List<Integer>> seen = Collections.synchronizedMap(new HashMap<>());
        CountDownLatch all = new CountDownLatch(200);
        AtomicInteger failures = new AtomicInteger();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("g"), topic, "*");
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.registerMessageListener((MessageListenerOrderly) (batch, context) -> {
            for (MessageExt m : batch) {
                String[] parts = text(m).split(" ");
                if (parts[1].equals("7") && failures.incrementAndGet() < 3) {
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                seen.computeIfAbsent(parts[0], key -> new ArrayList<>()).add(Integer.valueOf(parts[1]));
                all.countDown();
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();

        for (int i = 0; i < 20; i++) {
            for (int key = 0; key < 10; key++) {
                producer.send(
                        message(topic, "A", "k" + key + " " + i),
                        (queues, m, chosen) -> queues.get((Integer) chosen % queues.size()),
                        key);
            }
        }

        assertTrue(all.await(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS), "missing " + all.getCount());
        consumer.shutdown();
        seen.forEach((key, numbers) -> {
            List<Integer> sorted = new ArrayList<>(numbers);
            Collections.sort(sorted);
            assertEquals(sorted, numbers, key);
        });
    }

    @Test
    void consumerGetsOnlyTheTagsItAskedFor() throws Exception {
        String topic = Clients.topic("tags");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("g"), topic, "red || green");
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        consumer.start();

        for (String color : List.of("blue", "red", "black", "green", "blue")) producer.send(message(topic, color, color));

        Set<String> texts = new HashSet<>(List.of(text(inbox.next()), text(inbox.next())));
        MessageExt third = inbox.within(500);
        consumer.shutdown();
        assertEquals(Set.of("red", "green"), texts);
        assertNull(third);
    }

    @Test
    void offsetsAreRememberedByTheBroker() throws Exception {
        String topic = Clients.topic("resume");
        String group = Clients.unique("g");
        producer.send(message(topic, "A", "before"));
        Clients.Inbox first = new Clients.Inbox();
        DefaultMQPushConsumer consumer = Clients.consumer(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) first);
        consumer.start();
        assertEquals("before", text(first.next()));
        awaitCommit(group, topic);
        consumer.shutdown();

        producer.send(message(topic, "A", "after"));
        Clients.Inbox second = new Clients.Inbox();
        DefaultMQPushConsumer next = Clients.consumer(group, topic, "*");
        next.registerMessageListener((MessageListenerConcurrently) second);
        next.start();

        MessageExt message = second.next();
        next.shutdown();
        assertEquals("after", text(message));
    }

    /** A message in the inbox is not yet a committed offset: the listener has to return, and the client to say so. */
    private static void awaitCommit(String group, String topic) throws Exception {
        DefaultMQAdminExt admin = Clients.admin();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (admin.examineConsumeStats(group, topic).computeTotalDiff() != 0) {
            assertTrue(System.nanoTime() < deadline, "the offset of " + group + " was never committed");
            TimeUnit.MILLISECONDS.sleep(50);
        }
        admin.shutdown();
    }

    @Test
    void delayLevelHoldsAMessageBack() throws Exception {
        Message message = message(Clients.topic("level"), "A", "later");
        message.setDelayTimeLevel(2);

        MessageExt received = Clients.sentAndReceived(producer, message);

        long held = received.getStoreTimestamp() - received.getBornTimestamp();
        assertTrue(held >= Long.getLong("level2.ms") && held < Long.getLong("level2.ms") + 15_000, "held " + held + " ms");
    }

    @Test
    void failingMessageIsRetriedAndEndsAsADeadLetter() throws Exception {
        String topic = Clients.topic("poison");
        String group = Clients.unique("g");
        List<Integer> attempts = Collections.synchronizedList(new ArrayList<>());
        List<String> topics = Collections.synchronizedList(new ArrayList<>());
        DefaultMQPushConsumer consumer = Clients.consumer(group, topic, "*");
        consumer.setMaxReconsumeTimes(2);
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            attempts.add(batch.get(0).getReconsumeTimes());
            topics.add(batch.get(0).getTopic());
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        String id = producer.send(message(topic, "A", "poison")).getMsgId();

        MessageExt letter = deadLetter(group);
        consumer.shutdown();
        assertEquals(List.of(0, 1, 2), attempts);
        assertEquals(List.of(topic, topic, topic), topics);
        assertEquals("poison", text(letter));
        assertEquals(topic, letter.getProperty(MessageConst.PROPERTY_RETRY_TOPIC));
        assertNotNull(letter.getProperty(MessageConst.PROPERTY_ORIGIN_MESSAGE_ID));
        assertEquals(id, letter.getProperty(MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX));
    }

    private static MessageExt deadLetter(String group) throws Exception {
        DefaultMQAdminExt admin = Clients.admin();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (true) {
            try {
                admin.examineTopicRouteInfo("%DLQ%" + group);
                break;
            } catch (Exception notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                TimeUnit.MILLISECONDS.sleep(100);
            }
        }
        admin.shutdown();
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("undertaker"), "%DLQ%" + group, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        consumer.start();
        MessageExt letter = inbox.next();
        consumer.shutdown();
        return letter;
    }
}
