package millrace;

import static millrace.Clients.message;
import static millrace.Clients.text;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.junit.jupiter.api.Test;

/**
 * The synchronous call of 5.3.3 gives up when the request is stored, whatever the broker does; so this is the asynchronous
 * one, which calls back with nothing at that moment and with the reply later.
 */
class RequestReplyTest {
    @Test
    void requestGetsItsReply() throws Exception {
        String topic = Clients.topic("request");
        DefaultMQProducer replier = Clients.producer();
        DefaultMQPushConsumer consumer = Clients.consumer(Clients.unique("g"), topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> {
            for (MessageExt request : batch) {
                try {
                    replier.send(MessageUtil.createReplyMessage(request, ("re: " + text(request)).getBytes()));
                } catch (Exception error) {
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        DefaultMQProducer requester = Clients.producer();
        CompletableFuture<Message> reply = new CompletableFuture<>();

        requester.request(message(topic, "A", "ping"), new RequestCallback() {
            @Override
            public void onSuccess(Message message) {
                if (message != null) reply.complete(message);
            }

            @Override
            public void onException(Throwable error) {
                reply.completeExceptionally(error);
            }
        }, 15_000);

        assertEquals("re: ping", new String(reply.get(Clients.PATIENCE_SECONDS, TimeUnit.SECONDS).getBody()));
        consumer.shutdown();
        requester.shutdown();
        replier.shutdown();
    }
}
