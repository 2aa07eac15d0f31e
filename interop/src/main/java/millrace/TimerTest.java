package millrace;

import static millrace.Clients.message;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.junit.jupiter.api.Test;

/** Timers of any moment came with 5.0. */
class TimerTest {
    @Test
    void timerDeliversAtItsMoment() throws Exception {
        DefaultMQProducer producer = Clients.producer();
        Message message = message(Clients.topic("timer"), "A", "at its time");
        long due = System.currentTimeMillis() + 3500;
        message.setDeliverTimeMs(due);

        MessageExt received = Clients.sentAndReceived(producer, message);

        producer.shutdown();
        long late = received.getStoreTimestamp() - due;
        assertTrue(late > -1000 && late < 15_000, "late by " + late + " ms");
    }
}
