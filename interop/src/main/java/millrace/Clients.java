package millrace;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.CommandUtil;

/** Official clients of the cluster that `-Dnamesrv=host:port` names, with short intervals, so that a test does not wait for a 30 s poll. */
final class Clients {
    static final String NAMESRV = System.getProperty("namesrv");
    static final String CLUSTER = System.getProperty("cluster", "DefaultCluster");
    static final long PATIENCE_SECONDS = 30;
    /** The clients' own 3 s are too short for a machine that also runs two brokers and three compilers. */
    static final int PATIENCE_MILLIS = (int) TimeUnit.SECONDS.toMillis(PATIENCE_SECONDS);

    private Clients() {}

    /** A name that no other test uses. */
    static String unique(String prefix) {
        return prefix + "_" + UUID.randomUUID().toString().substring(0, 8);
    }

    static <T extends ClientConfig> T configured(T client) {
        client.setNamesrvAddr(NAMESRV);
        client.setInstanceName(unique("instance"));
        client.setMqClientApiTimeout(PATIENCE_MILLIS);
        client.setPollNameServerInterval(1000);
        client.setHeartbeatBrokerInterval(1000);
        client.setPersistConsumerOffsetInterval(500);
        return client;
    }

    static DefaultMQProducer producer() throws Exception {
        DefaultMQProducer producer = configured(new DefaultMQProducer(unique("producers")));
        producer.setSendMsgTimeout(PATIENCE_MILLIS);
        producer.start();
        return producer;
    }

    static DefaultMQAdminExt admin() throws Exception {
        DefaultMQAdminExt admin = configured(new DefaultMQAdminExt(PATIENCE_MILLIS));
        admin.start();
        return admin;
    }

    /** Make a topic with four queues, and wait until its route is known. */
    static String topic(String prefix) throws Exception {
        String topic = unique(prefix);
        DefaultMQAdminExt admin = admin();
        try {
            TopicConfig config = new TopicConfig(topic);
            config.setReadQueueNums(4);
            config.setWriteQueueNums(4);
            for (String master : CommandUtil.fetchMasterAddrByClusterName(admin, CLUSTER)) {
                admin.createAndUpdateTopicConfig(master, config);
            }
            awaitRoute(admin, topic);
        } finally {
            admin.shutdown();
        }
        return topic;
    }

    private static void awaitRoute(DefaultMQAdminExt admin, String topic) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (true) {
            try {
                admin.examineTopicRouteInfo(topic);
                return;
            } catch (Exception notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }

    static DefaultMQPushConsumer consumer(String group, String topic, String tags) throws Exception {
        DefaultMQPushConsumer consumer = configured(new DefaultMQPushConsumer(group));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, tags);
        return consumer;
    }

    /** Send a message to a waiting consumer, and return what that consumer got. */
    static MessageExt sentAndReceived(DefaultMQProducer producer, Message message) throws Exception {
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = consumer(unique("g"), message.getTopic(), "*");
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        consumer.start();
        producer.send(message);
        MessageExt received = inbox.next();
        consumer.shutdown();
        return received;
    }

    /** Consumes successfully whatever comes, and hands it to the test. */
    static final class Inbox implements MessageListenerConcurrently, MessageListenerOrderly {
        final BlockingQueue<MessageExt> messages = new LinkedBlockingQueue<>();

        @Override
        public ConsumeConcurrentlyStatus consumeMessage(
                List<MessageExt> batch,
                org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext context) {
            messages.addAll(batch);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        }

        @Override
        public ConsumeOrderlyStatus consumeMessage(
                List<MessageExt> batch,
                org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyContext context) {
            messages.addAll(batch);
            return ConsumeOrderlyStatus.SUCCESS;
        }

        MessageExt next() throws InterruptedException {
            MessageExt message = messages.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
            if (message == null) throw new AssertionError("no message within " + PATIENCE_SECONDS + " s");
            return message;
        }

        MessageExt within(long milliseconds) throws InterruptedException {
            return messages.poll(milliseconds, TimeUnit.MILLISECONDS);
        }
    }

    static Message message(String topic, String tag, String text) {
        return new Message(topic, tag, text, text.getBytes(StandardCharsets.UTF_8));
    }

    static String text(MessageExt message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }
}
