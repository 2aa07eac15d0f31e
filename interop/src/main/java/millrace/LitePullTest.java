package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LitePullTest {
    private String topic;
    private DefaultLitePullConsumer consumer;

    @BeforeEach
    void sendTenAndStart() throws Exception {
        topic = Clients.topic("lite");
        DefaultMQProducer producer = Clients.producer();
        for (int i = 0; i < 10; i++) {
            producer.send(message(topic, "A", "m" + i), (queues, m, n) -> queues.get((Integer) n % queues.size()), i);
        }
        producer.shutdown();
        consumer = Clients.configured(new DefaultLitePullConsumer(Clients.unique("g")));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
    }

    @AfterEach
    void stop() {
        consumer.shutdown();
    }

    @Test
    void subscribedLitePullConsumerPollsEverything() throws Exception {
        consumer.subscribe(topic, "*");
        consumer.start();

        Set<String> texts = new HashSet<>();
        for (MessageExt message : polled(10)) texts.add(text(message));
        assertEquals(10, texts.size());
    }

    @Test
    void assignedLitePullConsumerSeeksAndCommits() throws Exception {
        consumer.setAutoCommit(false);
        consumer.start();
        Collection<MessageQueue> queues = consumer.fetchMessageQueues(topic);
        MessageQueue first = queues.stream().filter(queue -> queue.getQueueId() == 0).findFirst().orElseThrow();
        consumer.assign(List.of(first));
        consumer.seek(first, 1);

        List<MessageExt> messages = polled(2);
        consumer.commitSync();

        // Queue 0 of four holds m0, m4 and m8.
        assertEquals(List.of("m4", "m8"), messages.stream().map(Clients::text).toList());
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (consumer.committed(first) != 3 && System.nanoTime() < deadline) TimeUnit.MILLISECONDS.sleep(50);
        assertEquals(3, consumer.committed(first));
    }

    private List<MessageExt> polled(int count) {
        List<MessageExt> messages = new ArrayList<>();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (messages.size() < count && System.nanoTime() < deadline) messages.addAll(consumer.poll(200));
        return messages;
    }
}
