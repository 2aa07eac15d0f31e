package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * The official client with accounts, and with TLS where the JVM says {@code -Dtls.enable=true}. The accounts are those of
 * {@code tests/interop/test_java_security.py}.
 */
@Tag("accounts")
class SecurityTest {
    private static final RPCHook OPERATOR = account("operator", "operator-secret-1");
    private static final RPCHook ORDERS = account("orders-service", "orders-secret-1");
    private static final int PATIENCE_MS = 20_000;
    private static final String BROKER = System.getProperty("broker");

    private static RPCHook account(String accessKey, String secretKey) {
        return new AclClientRPCHook(new SessionCredentials(accessKey, secretKey));
    }

    /** Patient: the first TLS handshake of a JVM takes its time on a busy machine. */
    private static <T extends ClientConfig> T patient(T client) {
        client.setMqClientApiTimeout(PATIENCE_MS);
        return Clients.configured(client);
    }

    private static DefaultMQAdminExt admin(RPCHook account) throws Exception {
        DefaultMQAdminExt admin = patient(new DefaultMQAdminExt(account, PATIENCE_MS));
        admin.start();
        return admin;
    }

    private static DefaultMQProducer producer(RPCHook account) throws Exception {
        DefaultMQProducer producer = patient(new DefaultMQProducer(Clients.unique("makers"), account));
        producer.setSendMsgTimeout(PATIENCE_MS);
        producer.setRetryTimesWhenSendFailed(0);
        producer.start();
        return producer;
    }

    @Test
    void anApplicationSendsAndConsumesWithItsAccount() throws Exception {
        DefaultMQProducer producer = producer(ORDERS);
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = patient(
                new DefaultMQPushConsumer("orders", ORDERS, new AllocateMessageQueueAveragely()));
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe("Orders", "*");
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        try {
            assertEquals(SendStatus.SEND_OK, producer.send(message("Orders", "A", "order 1")).getSendStatus());
            consumer.start();
            assertEquals("order 1", text(inbox.next()));
        } finally {
            consumer.shutdown();
            producer.shutdown();
        }
    }

    @Test
    void aTransactionEndsWithAnAccount() throws Exception {
        TransactionMQProducer producer =
                patient(new TransactionMQProducer(Clients.unique("makers"), ORDERS));
        producer.setSendMsgTimeout(PATIENCE_MS);
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return LocalTransactionState.COMMIT_MESSAGE;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.UNKNOW;
            }
        });
        producer.start();
        DefaultMQAdminExt admin = admin(OPERATOR);
        try {
            producer.sendMessageInTransaction(message("Transactions", "A", "order 2"), null);
            long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(PATIENCE_MS);
            long visible = 0;
            while (visible == 0 && System.nanoTime() < deadline) {
                visible = admin.examineTopicStats("Transactions").getOffsetTable().values().stream()
                        .mapToLong(offsets -> offsets.getMaxOffset())
                        .sum();
            }
            assertEquals(1, visible);
        } finally {
            admin.shutdown();
            producer.shutdown();
        }
    }

    @Test
    void anApplicationIsRefusedWhatItWasNotGiven() throws Exception {
        DefaultMQProducer producer = producer(ORDERS);
        DefaultMQAdminExt admin = admin(ORDERS);
        try {
            MQClientException send = assertThrows(
                    MQClientException.class, () -> producer.send(message("Payments", "A", "not mine")));
            assertEquals(16, send.getResponseCode());
            String reason = send.getCause().getMessage();
            assertTrue(reason.contains("orders-service may not publish to topic Payments"), reason);
            MQBrokerException config =
                    assertThrows(MQBrokerException.class, () -> admin.getBrokerConfig(BROKER));
            assertEquals(16, config.getResponseCode());
        } finally {
            admin.shutdown();
            producer.shutdown();
        }
    }

    @Test
    void nobodyIsServedWithoutAnAccountOrWithAWrongSecret() throws Exception {
        for (RPCHook account : new RPCHook[] {null, account("operator", "wrong-secret")}) {
            DefaultMQProducer producer = producer(account);
            try {
                MQClientException refused = assertThrows(
                        MQClientException.class, () -> producer.send(message("Orders", "A", "not mine")));
                assertTrue(refused.getMessage().contains("16") || refused.getMessage().contains("route"),
                        refused.getMessage());
            } finally {
                producer.shutdown();
            }
        }
    }

    @Test
    void anOperatorChangesWhatMayChangeAndNothingElse() throws Exception {
        DefaultMQAdminExt admin = admin(OPERATOR);
        try {
            Properties change = new Properties();
            change.setProperty("maxMessageSize", "1048576");
            admin.updateBrokerConfig(BROKER, change);
            Properties now = admin.getBrokerConfig(BROKER);
            assertEquals("1048576", now.getProperty("maxMessageSize"));
            for (Map.Entry<Object, Object> setting : now.entrySet()) {
                assertFalse(setting.getValue().toString().contains("secret"), setting.toString());
            }
            for (String key : new String[] {"rocketmqHome", "storePathRootDir", "noSuchKey"}) {
                Properties way = new Properties();
                way.setProperty(key, "/tmp/x;id");
                MQBrokerException refused =
                        assertThrows(MQBrokerException.class, () -> admin.updateBrokerConfig(BROKER, way));
                assertEquals(16, refused.getResponseCode());
            }
        } finally {
            admin.shutdown();
        }
    }
}
