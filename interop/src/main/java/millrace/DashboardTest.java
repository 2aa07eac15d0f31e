package millrace;

import static millrace.Clients.message;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.remoting.protocol.body.KVTable;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What rocketmq-dashboard's pages ask for, by the same library and on the port that it uses, two below the broker's own.
 * The dashboard itself is not among Maven's packages.
 */
class DashboardTest {
    private DefaultMQAdminExt admin;
    private String broker;

    @BeforeEach
    void start() throws Exception {
        admin = Clients.configured(new DefaultMQAdminExt(Clients.PATIENCE_MILLIS));
        admin.setVipChannelEnabled(true);
        admin.start();
        broker = admin.examineBrokerClusterInfo().getBrokerAddrTable().values().iterator().next().selectBrokerAddr();
    }

    @AfterEach
    void stop() {
        admin.shutdown();
    }

    @Test
    void dashboardReadsThreeFiguresAndTheCounters() throws Exception {
        String[] rates = {"getTotalTps", "putTps", "getTransferredTps"};
        KVTable figures = admin.fetchBrokerRuntimeStats(broker);
        // Apache's broker has no averages until it has sampled twice, 10 s apart.
        for (int i = 0; i < 80 && anyIsBlank(figures, rates); i++) {
            Thread.sleep(500);
            figures = admin.fetchBrokerRuntimeStats(broker);
        }

        for (String rate : rates) {
            for (String figure : figures.getTable().get(rate).trim().split(" +")) assertTrue(Double.parseDouble(figure) >= 0);
        }
        for (String counter : new String[] {"msgPutTotalTodayNow", "msgPutTotalTodayMorning", "msgPutTotalYesterdayMorning"}) {
            assertTrue(Long.parseLong(figures.getTable().get(counter)) >= 0);
        }
        assertNotNull(figures.getTable().get("brokerVersionDesc"));
    }

    private static boolean anyIsBlank(KVTable figures, String... keys) {
        return Arrays.stream(keys).anyMatch(key -> figures.getTable().get(key).isBlank());
    }

    @Test
    void dashboardShowsATopicAndItsQueues() throws Exception {
        String topic = Clients.topic("dashboard");

        assertEquals(4, admin.examineTopicConfig(broker, topic).getReadQueueNums());
        assertEquals(4, admin.examineTopicStats(topic).getOffsetTable().size());
        assertTrue(admin.fetchAllTopicList().getTopicList().contains(topic));
        assertNotNull(admin.queryTopicConsumeByWho(topic).getGroupList());
    }

    @Test
    void dashboardListsGroupsWithoutAskingForAPage() throws Exception {
        assertFalse(admin.getAllSubscriptionGroup(broker, Clients.PATIENCE_MILLIS).getSubscriptionGroupTable().isEmpty());
        assertFalse(admin.getBrokerConfig(broker).isEmpty());
    }

    @Test
    void dashboardIsToldThatAGroupIsOffline() {
        MQBrokerException error =
                assertThrows(MQBrokerException.class, () -> admin.examineConsumerConnectionInfo("nobody", broker));

        assertEquals(206, error.getResponseCode());
    }

    @Test
    void dashboardFindsAMessageByItsUniqueKey() throws Exception {
        String topic = Clients.topic("dashboard");
        DefaultMQProducer producer = Clients.producer();
        SendResult sent = producer.send(message(topic, "A", "shown"));
        producer.shutdown();

        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(Clients.PATIENCE_SECONDS);
        while (true) {
            try {
                assertEquals("shown", Clients.text(admin.queryMessage(Clients.CLUSTER, topic, sent.getMsgId())));
                return;
            } catch (NullPointerException | org.apache.rocketmq.client.exception.MQClientException notYet) {
                if (System.nanoTime() > deadline) throw notYet;
                TimeUnit.MILLISECONDS.sleep(50);
            }
        }
    }
}
