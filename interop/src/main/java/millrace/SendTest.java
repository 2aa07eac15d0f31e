package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class SendTest {
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
    void synchronousSendIsAcknowledgedWithItsPlace() throws Exception {
        String topic = Clients.topic("sync");

        SendResult first = producer.send(message(topic, "A", "one"), (queues, m, n) -> queues.get(0), null);
        SendResult second = producer.send(message(topic, "A", "two"), (queues, m, n) -> queues.get(0), null);

        assertEquals(SendStatus.SEND_OK, first.getSendStatus());
        assertEquals(0, first.getQueueOffset());
        assertEquals(1, second.getQueueOffset());
        assertEquals(32, first.getOffsetMsgId().length());
    }

    @Test
    void topicIsCreatedByTheFirstSendToIt() throws Exception {
        String topic = Clients.unique("auto");

        SendResult result = producer.send(message(topic, "A", "hello"));

        assertEquals(SendStatus.SEND_OK, result.getSendStatus());
        assertEquals(4, producer.fetchPublishMessageQueues(topic).size());
    }

    @Test
    void asynchronousSendsAllCallBack() throws Exception {
        String topic = Clients.topic("async");
        List<CompletableFuture<SendResult>> results = new ArrayList<>();

        for (int i = 0; i < 200; i++) {
            CompletableFuture<SendResult> result = new CompletableFuture<>();
            producer.send(message(topic, "A", "m" + i), new SendCallback() {
                @Override
                public void onSuccess(SendResult sent) {
                    result.complete(sent);
                }

                @Override
                public void onException(Throwable error) {
                    result.completeExceptionally(error);
                }
            });
            results.add(result);
        }

        Set<String> ids = new HashSet<>();
        for (CompletableFuture<SendResult> result : results) {
            ids.add(result.get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS).getOffsetMsgId());
        }
        assertEquals(200, ids.size());
    }

    @Test
    void oneWayMessageAndBatchArrive() throws Exception {
        String topic = Clients.topic("oneway");
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("g"), topic, "*");
        consumer.registerMessageListener((org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) inbox);
        consumer.start();

        producer.sendOneway(message(topic, "A", "thrown"));
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 10; i++) batch.add(message(topic, "B", "batch" + i));
        SendResult result = producer.send(batch);

        Set<String> texts = new HashSet<>();
        for (int i = 0; i < 11; i++) texts.add(text(inbox.next()));
        consumer.shutdown();
        assertEquals(10, result.getOffsetMsgId().split(",").length);
        assertTrue(texts.contains("thrown"));
        assertTrue(texts.contains("batch9"));
        assertEquals(11, texts.size());
    }

    @Test
    void compressedBodyComesBackAsItWas() throws Exception {
        String topic = Clients.topic("compressed");
        byte[] body = "millrace ".repeat(2000).getBytes();

        SendResult result = producer.send(new Message(topic, "A", body));

        assertArrayEquals(body, producer.viewMessage(topic, result.getOffsetMsgId()).getBody());
    }

    @Test
    void refusesAnIllegalTopic() {
        assertThrows(MQClientException.class, () -> producer.send(message("no such/topic", "A", "x")));
    }

    @Test
    void messageIsFoundByKeyByUniqueKeyAndById() throws Exception {
        String topic = Clients.topic("query");
        long before = System.currentTimeMillis() - 1000;

        SendResult result = producer.send(new Message(topic, "A", "order-17 buyer-4", "found".getBytes()));

        MessageExt byId = producer.viewMessage(topic, result.getOffsetMsgId());
        assertEquals("found", text(byId));
        DefaultMQAdminExt admin = Clients.admin();
        for (String key : List.of("order-17", "buyer-4")) {
            assertEquals("found", text(queried(admin, topic, key, before)));
        }
        assertEquals("found", text(admin.viewMessage(topic, result.getMsgId())));
        admin.shutdown();
    }

    /** The index follows the log by a moment, so look until it is there. */
    private static MessageExt queried(DefaultMQAdminExt admin, String topic, String key, long begin) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (true) {
            try {
                QueryResult found = admin.queryMessage(topic, key, 32, begin, Long.MAX_VALUE);
                assertEquals(1, found.getMessageList().size());
                return found.getMessageList().get(0);
            } catch (MQClientException notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }
}
