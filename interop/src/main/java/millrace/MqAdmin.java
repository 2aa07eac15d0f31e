package millrace;

import com.alibaba.fastjson.JSON;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.Permission;
import java.util.Arrays;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * The released mqadmin, one command after another in one JVM: arguments come in as a line, parted by tabs, and what the
 * command printed goes out as a line of JSON. Commands of our own give it something to look at: {@code +consume GROUP TOPIC}
 * starts a consumer and {@code +produce GROUP TOPIC} a producer, which both stay until the end. {@code +interrupt COMMAND...}
 * ends a command that would go on for ever.
 */
public final class MqAdmin {
    /** The commands keep their clients, so each call needs new ones. */
    private static final class FreshCommands extends MQAdminStartup {
        static void run(String[] command) {
            SUB_COMMANDS.clear();
            main0(command, null);
        }
    }

    /** What a command that wants to end the JVM gets instead. */
    private static final class Exit extends SecurityException {}

    private static final long INTERRUPT_AFTER_MILLIS = 4000;

    private MqAdmin() {}

    @SuppressWarnings("removal")
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        System.setSecurityManager(new SecurityManager() {
            @Override
            public void checkPermission(Permission permission) {}

            @Override
            public void checkExit(int status) {
                throw new Exit();
            }
        });
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.println(JSON.toJSONString(printed(line.split("\t"))));
            answers.flush();
        }
        System.setSecurityManager(null); // which would refuse this exit too
        Runtime.getRuntime().halt(0);
    }

    private static String printed(String[] command) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
        System.setOut(out);
        System.setErr(out);
        try {
            switch (command[0]) {
                case "+consume" -> consume(command[1], command[2]);
                case "+produce" -> produce(command[1], command[2]);
                case "+interrupt" -> interrupted(Arrays.copyOfRange(command, 1, command.length));
                default -> FreshCommands.run(command);
            }
        } catch (Exit exit) {
            out.println("exit");
        } catch (Throwable error) {
            error.printStackTrace(out);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static void interrupted(String[] command) throws InterruptedException {
        Thread thread = new Thread(() -> FreshCommands.run(command));
        thread.start();
        thread.join(INTERRUPT_AFTER_MILLIS);
        thread.interrupt();
        thread.join(INTERRUPT_AFTER_MILLIS);
    }

    private static void consume(String group, String topic) throws Exception {
        DefaultMQPushConsumer consumer = Clients.consumer(group, topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (batch, context) -> ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        consumer.start();
        System.out.println(consumer.buildMQClientId());
    }

    private static void produce(String group, String topic) throws Exception {
        DefaultMQProducer producer = Clients.configured(new DefaultMQProducer(group));
        producer.start();
        System.out.println(producer.send(Clients.message(topic, "A", "first"), (queues, m, n) -> queues.get(3), null));
    }
}
