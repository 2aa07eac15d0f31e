package millrace;

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.rocketmq.client.consumer.store.OffsetSerializeWrapper;

/** What RocketMQ's client reads in an offsets.json, one "broker topic queue offset" a line. */
final class OffsetsJudge {
    private OffsetsJudge() {}

    public static void main(String[] arguments) throws Exception {
        String text = Files.readString(Path.of(arguments[0]));
        OffsetSerializeWrapper.fromJson(text, OffsetSerializeWrapper.class).getOffsetTable().forEach((queue, offset) ->
                System.out.printf("%s %s %d %d%n", queue.getBrokerName(), queue.getTopic(), queue.getQueueId(), offset.get()));
    }
}
