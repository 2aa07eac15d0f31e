package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.apache.rocketmq.client.consumer.AckResult;
import org.apache.rocketmq.client.consumer.PopResult;
import org.apache.rocketmq.client.consumer.PopStatus;
import org.apache.rocketmq.client.impl.ClientRemotingProcessor;
import org.apache.rocketmq.client.impl.mqclient.MQClientAPIExt;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.CommandCustomHeader;
import org.apache.rocketmq.remoting.netty.NettyClientConfig;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.RequestCode;
import org.apache.rocketmq.remoting.protocol.ResponseCode;
import org.apache.rocketmq.remoting.protocol.header.AckMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.ChangeInvisibleTimeRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.NotificationRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PeekMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PollingInfoRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PollingInfoResponseHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageRequestHeader;
import org.apache.rocketmq.remoting.protocol.header.PopMessageResponseHeader;
import org.apache.rocketmq.remoting.protocol.route.BrokerData;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The requests that RocketMQ's proxy makes, by the class it makes them with: in order, and looking without taking. */
@Tag("pop")
class PopRequestsTest {
    private static final long MINUTE = TimeUnit.MINUTES.toMillis(1);
    private static final int ANY_QUEUE = -1;

    private final String topic = Clients.topic("popped");
    private final String group = Clients.unique("pops");
    private DefaultMQProducer producer;
    private MQClientAPIExt api;
    private String brokerName;
    private String broker;

    PopRequestsTest() throws Exception {}

    @BeforeEach
    void start() throws Exception {
        producer = Clients.producer();
        DefaultMQAdminExt admin = Clients.admin();
        BrokerData data = admin.examineTopicRouteInfo(topic).getBrokerDatas().get(0);
        admin.shutdown();
        brokerName = data.getBrokerName();
        broker = data.selectBrokerAddr();
        api = new MQClientAPIExt(
                Clients.configured(new DefaultMQProducer()), new NettyClientConfig(), new ClientRemotingProcessor(null), null);
        api.start();
    }

    @AfterEach
    void stop() {
        api.shutdown();
        producer.shutdown();
    }

    @Test
    void inOrderAQueueIsLockedUntilAllOfItIsAcknowledged() throws Exception {
        send("placed", "paid", "packed");

        List<MessageExt> given = inOrder("first", 2, MINUTE);
        assertEquals(List.of("placed", "paid"), texts(given));
        assertEquals(List.of(), texts(inOrder("second", 2, MINUTE)));
        acknowledge(given.get(0));
        assertEquals(List.of(), texts(inOrder("third", 2, MINUTE)));
        acknowledge(given.get(1));

        assertEquals(List.of("packed"), texts(inOrder("fourth", 2, MINUTE)));
    }

    @Test
    void inOrderAnAttemptThatIsRepeatedGetsTheSameMessages() throws Exception {
        send("placed", "paid");

        assertEquals(List.of("placed"), texts(inOrder("first", 1, MINUTE)));
        List<MessageExt> again = inOrder("first", 1, MINUTE);

        assertEquals(List.of("placed"), texts(again));
        assertEquals(0, again.get(0).getReconsumeTimes());
    }

    @Test
    void inOrderWhatIsVisibleAgainComesFirstAndIsCounted() throws Exception {
        send("placed", "paid");
        MessageExt placed = inOrder("first", 1, MINUTE).get(0);

        AckResult changed = hide(placed, 500);
        assertTrue(changed.getExtraInfo().split(" ")[3].equals("999"), changed.getExtraInfo());
        List<MessageExt> again = waiting("second", 2).get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS).getMsgFoundList();

        assertEquals(List.of("placed", "paid"), texts(again));
        assertEquals(1, again.get(0).getReconsumeTimes());
        assertEquals(0, again.get(1).getReconsumeTimes());
    }

    @Test
    void inOrderWhoWaitsIsWokenByTheAcknowledgement() throws Exception {
        send("placed", "paid");
        MessageExt placed = inOrder("first", 1, MINUTE).get(0);
        CompletableFuture<PopResult> waiting = waiting("second", 1);
        await(() -> pollers(0) == 1);

        acknowledge(placed);

        assertEquals(List.of("paid"), texts(waiting.get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS).getMsgFoundList()));
    }

    @Test
    void aNotificationComesWithTheFirstMessageAndTakesNothing() throws Exception {
        assertFalse(notified(0).get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS));
        CompletableFuture<Boolean> waiting = notified(MINUTE);

        send("placed");

        assertTrue(waiting.get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS));
        assertTrue(notified(0).get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS));
        assertEquals(List.of("placed"), texts(inOrder("first", 1, MINUTE)));
        assertFalse(notified(0).get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS), "the queue is locked");
    }

    @Test
    void peekingShowsMessagesAndTakesNothing() throws Exception {
        assertEquals(ResponseCode.PULL_NOT_FOUND, peek().getCode());
        send("placed", "paid");

        for (int time = 0; time < 2; time++) {
            RemotingCommand shown = peek();
            assertEquals(ResponseCode.SUCCESS, shown.getCode());
            assertEquals(List.of("placed", "paid"), texts(MessageDecoder.decodes(ByteBuffer.wrap(shown.getBody()))));
            assertEquals(2, header(shown, PopMessageResponseHeader.class).getRestNum());
        }
    }

    @Test
    void whoWaitsIsCountedByQueue() throws Exception {
        CompletableFuture<PopResult> waiting = waiting("first", 1);

        await(() -> pollers(0) == 1);

        assertEquals(0, pollers(1));
        assertEquals(0, pollers(ANY_QUEUE));
        send("placed");
        assertEquals(PopStatus.FOUND, waiting.get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS).getPopStatus());
        assertEquals(0, pollers(0));
    }

    // ---- requests

    private void send(String... texts) throws Exception {
        for (String text : texts) producer.send(message(topic, "A", text), new MessageQueue(topic, brokerName, 0));
        await(() -> committed() >= texts.length);
    }

    /** The queue's index follows the log, on Apache's broker a moment later. */
    private long committed() {
        try {
            return producer.getDefaultMQProducerImpl().maxOffset(new MessageQueue(topic, brokerName, 0));
        } catch (Exception notYet) {
            return -1;
        }
    }

    private List<MessageExt> inOrder(String attempt, int count, long invisibleMillis) throws Exception {
        PopResult result = api.popMessageAsync(broker, brokerName, pop(attempt, count, invisibleMillis, 0), Clients.PATIENCE_MILLIS)
                .get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS);
        return result.getMsgFoundList() == null ? List.of() : result.getMsgFoundList();
    }

    private CompletableFuture<PopResult> waiting(String attempt, int count) {
        return api.popMessageAsync(
                broker, brokerName, pop(attempt, count, MINUTE, Clients.PATIENCE_MILLIS), 2 * Clients.PATIENCE_MILLIS);
    }

    private PopMessageRequestHeader pop(String attempt, int count, long invisibleMillis, long pollMillis) {
        PopMessageRequestHeader header = new PopMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(0);
        header.setMaxMsgNums(count);
        header.setInvisibleTime(invisibleMillis);
        header.setPollTime(pollMillis);
        header.setBornTime(System.currentTimeMillis());
        header.setInitMode(0);
        header.setOrder(true);
        header.setAttemptId(attempt);
        return header;
    }

    private void acknowledge(MessageExt message) throws Exception {
        AckMessageRequestHeader header = new AckMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(message.getQueueId());
        header.setOffset(message.getQueueOffset());
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        api.ackMessageAsync(broker, header, Clients.PATIENCE_MILLIS).get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private AckResult hide(MessageExt message, long millis) throws Exception {
        ChangeInvisibleTimeRequestHeader header = new ChangeInvisibleTimeRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(message.getQueueId());
        header.setOffset(message.getQueueOffset());
        header.setExtraInfo(message.getProperty(MessageConst.PROPERTY_POP_CK));
        header.setInvisibleTime(millis);
        return api.changeInvisibleTimeAsync(broker, brokerName, header, Clients.PATIENCE_MILLIS)
                .get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private CompletableFuture<Boolean> notified(long pollMillis) {
        NotificationRequestHeader header = new NotificationRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(0);
        header.setPollTime(pollMillis);
        header.setBornTime(System.currentTimeMillis());
        header.setOrder(true);
        return api.notification(broker, header, pollMillis + Clients.PATIENCE_MILLIS);
    }

    private RemotingCommand peek() throws Exception {
        PeekMessageRequestHeader header = new PeekMessageRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(0);
        header.setMaxMsgNums(32);
        return invoke(RequestCode.PEEK_MESSAGE, header);
    }

    private int pollers(int queueId) {
        PollingInfoRequestHeader header = new PollingInfoRequestHeader();
        header.setConsumerGroup(group);
        header.setTopic(topic);
        header.setQueueId(queueId);
        try {
            return header(invoke(RequestCode.POLLING_INFO, header), PollingInfoResponseHeader.class).getPollingNum();
        } catch (Exception failed) {
            throw new AssertionError(failed);
        }
    }

    private RemotingCommand invoke(int code, CommandCustomHeader header) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, header);
        return api.getRemotingClient().invokeSync(broker, request, Clients.PATIENCE_MILLIS);
    }

    private static <T extends CommandCustomHeader> T header(RemotingCommand response, Class<T> kind) throws Exception {
        return kind.cast(response.decodeCommandCustomHeader(kind));
    }

    private static List<String> texts(List<MessageExt> messages) {
        List<String> texts = new ArrayList<>();
        for (MessageExt message : messages) texts.add(text(message));
        return texts;
    }

    private static void await(BooleanSupplier condition) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (!condition.getAsBoolean()) {
            assertTrue(System.nanoTime() < deadline, "not within " + Clients.PATIENCE_SECONDS + " s");
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }
}
