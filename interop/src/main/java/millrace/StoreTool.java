package millrace;

import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.common.BrokerConfig;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageExtBrokerInner;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.PutMessageResult;
import org.apache.rocketmq.store.QueryMessageResult;
import org.apache.rocketmq.store.SelectMappedBufferResult;
import org.apache.rocketmq.store.config.FlushDiskType;
import org.apache.rocketmq.store.config.MessageStoreConfig;
import org.apache.rocketmq.store.queue.ConsumeQueueInterface;
import org.apache.rocketmq.store.queue.CqUnit;
import org.apache.rocketmq.store.stats.BrokerStatsManager;

/**
 * RocketMQ's own store classes as a command.
 *
 * <pre>
 * StoreTool dump DIR [KEY ...]       every message of every queue, then the result of each "topic#key" query, a line each
 * StoreTool write DIR COUNT          COUNT messages in topic "from-java", queues 0..3, body "java N", tag "T(N%3)", key "key-N"
 * </pre>
 *
 * The system properties commitlog.bytes, queue.bytes, slots and entries set the file sizes.
 */
public final class StoreTool {
    private StoreTool() {}

    public static void main(String[] arguments) throws Exception {
        DefaultMessageStore store = open(arguments[1]);
        try {
            if (arguments[0].equals("write")) write(store, Integer.parseInt(arguments[2]));
            else dump(store, arguments);
        } finally {
            store.shutdown();
        }
        System.exit(0);
    }

    private static DefaultMessageStore open(String folder) throws Exception {
        MessageStoreConfig config = new MessageStoreConfig();
        config.setStorePathRootDir(folder);
        config.setStorePathCommitLog(folder + "/commitlog");
        config.setMappedFileSizeCommitLog(Integer.getInteger("commitlog.bytes", 1 << 30));
        config.setMappedFileSizeConsumeQueue(Integer.getInteger("queue.bytes", 6_000_000));
        config.setMaxHashSlotNum(Integer.getInteger("slots", 5_000_000));
        config.setMaxIndexNum(Integer.getInteger("entries", 20_000_000));
        config.setFlushDiskType(FlushDiskType.ASYNC_FLUSH);
        config.setHaListenPort(0);
        config.setTimerWheelEnable(false);
        BrokerConfig broker = new BrokerConfig();
        broker.setBrokerName("broker-a");
        DefaultMessageStore store = new DefaultMessageStore(
                config, new BrokerStatsManager(broker), null, broker, new ConcurrentHashMap<String, TopicConfig>());
        if (!store.load()) throw new IllegalStateException("RocketMQ does not load " + folder);
        store.start();
        return store;
    }

    private static void write(DefaultMessageStore store, int count) throws Exception {
        InetSocketAddress host = new InetSocketAddress("127.0.0.1", 10911);
        for (int i = 0; i < count; i++) {
            MessageExtBrokerInner message = new MessageExtBrokerInner();
            message.setTopic("from-java");
            message.setQueueId(i % 4);
            message.setBody(("java " + i).getBytes(StandardCharsets.UTF_8));
            message.setTags("T" + i % 3);
            message.setKeys("key-" + i);
            MessageAccessor.putProperty(message, MessageConst.PROPERTY_UNIQ_CLIENT_MESSAGE_ID_KEYIDX, "unique-" + i);
            message.setPropertiesString(MessageDecoder.messageProperties2String(message.getProperties()));
            message.setTagsCode(MessageExtBrokerInner.tagsString2tagsCode(null, "T" + i % 3));
            message.setBornTimestamp(1_700_000_000_000L + i);
            message.setBornHost(host);
            message.setStoreHost(host);
            PutMessageResult result = store.putMessage(message);
            if (!result.isOk()) throw new IllegalStateException("message " + i + ": " + result);
        }
        awaitDispatch(store);
    }

    private static void dump(DefaultMessageStore store, String[] arguments) throws Exception {
        awaitDispatch(store);
        for (var topic : new TreeMap<>(store.getConsumeQueueTable()).entrySet()) {
            for (var queue : new TreeMap<>(topic.getValue()).entrySet()) {
                dump(store, topic.getKey(), queue.getKey(), queue.getValue());
            }
        }
        for (int i = 2; i < arguments.length; i++) {
            String[] wanted = arguments[i].split("#", 2);
            QueryMessageResult found = store.queryMessage(wanted[0], wanted[1], 32, 0, Long.MAX_VALUE);
            System.out.println("query " + arguments[i] + " " + found.getMessageMapedList().size());
            found.getMessageMapedList().forEach(SelectMappedBufferResult::release);
        }
    }

    private static void dump(DefaultMessageStore store, String topic, int queueId, ConsumeQueueInterface queue) {
        long end = queue.getMaxOffsetInQueue();
        System.out.println("queue " + topic + " " + queueId + " " + queue.getMinOffsetInQueue() + " " + end);
        for (long at = queue.getMinOffsetInQueue(); at < end; at++) {
            CqUnit entry = queue.get(at);
            MessageExt message = store.lookMessageByOffset(entry.getPos());
            System.out.println("message " + topic + " " + queueId + " " + message.getQueueOffset() + " "
                    + entry.getPos() + " " + entry.getSize() + " " + entry.getTagsCode() + " "
                    + message.getStoreTimestamp() + " " + message.getStoreHost() + " " + message.getKeys() + " "
                    + new String(message.getBody(), StandardCharsets.UTF_8));
        }
    }

    private static void awaitDispatch(DefaultMessageStore store) throws InterruptedException {
        while (store.dispatchBehindBytes() > 0) TimeUnit.MILLISECONDS.sleep(10);
        TimeUnit.MILLISECONDS.sleep(200); // the index is built behind the queue, without a gauge
    }
}
