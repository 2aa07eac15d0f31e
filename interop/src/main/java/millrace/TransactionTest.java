package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.junit.jupiter.api.Test;

class TransactionTest {
    /** Answers the local transaction with one state and every check with another. */
    private static final class Answers implements TransactionListener {
        final LocalTransactionState atOnce;
        final LocalTransactionState whenChecked;
        final AtomicInteger checks = new AtomicInteger();

        Answers(LocalTransactionState atOnce, LocalTransactionState whenChecked) {
            this.atOnce = atOnce;
            this.whenChecked = whenChecked;
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return atOnce;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            checks.incrementAndGet();
            return whenChecked;
        }
    }

    private record Outcome(MessageExt received, int checks) {}

    private static Outcome outcome(LocalTransactionState atOnce, LocalTransactionState whenChecked, long patienceMillis)
            throws Exception {
        String topic = Clients.topic("transaction");
        Answers answers = new Answers(atOnce, whenChecked);
        TransactionMQProducer producer = Clients.configured(new TransactionMQProducer(Clients.unique("payers")));
        producer.setSendMsgTimeout(Clients.PATIENCE_MILLIS);
        producer.setTransactionListener(answers);
        producer.start();
        Clients.Inbox inbox = new Clients.Inbox();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("g"), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) inbox);
        consumer.start();

        producer.sendMessageInTransaction(message(topic, "A", "half"), null);
        MessageExt received = inbox.within(patienceMillis);

        consumer.shutdown();
        producer.shutdown();
        return new Outcome(received, answers.checks.get());
    }

    @Test
    void committedMessageArrives() throws Exception {
        Outcome outcome = outcome(LocalTransactionState.COMMIT_MESSAGE, LocalTransactionState.UNKNOW, 20_000);

        assertEquals("half", text(outcome.received()));
        assertTrue(outcome.received().getPreparedTransactionOffset() >= 0);
    }

    @Test
    void rolledBackMessageIsNeverSeen() throws Exception {
        Outcome outcome = outcome(LocalTransactionState.ROLLBACK_MESSAGE, LocalTransactionState.COMMIT_MESSAGE, 9_000);

        assertNull(outcome.received());
        assertEquals(0, outcome.checks());
    }

    @Test
    void unknownStateIsAskedForAndThenCommitted() throws Exception {
        Outcome outcome = outcome(LocalTransactionState.UNKNOW, LocalTransactionState.COMMIT_MESSAGE, 30_000);

        assertEquals("half", text(outcome.received()));
        assertTrue(outcome.checks() >= 1);
    }

    @Test
    void unknownStateIsAskedForAndThenRolledBack() throws Exception {
        Outcome outcome = outcome(LocalTransactionState.UNKNOW, LocalTransactionState.ROLLBACK_MESSAGE, 12_000);

        assertNull(outcome.received());
        assertTrue(outcome.checks() >= 1);
    }
}
