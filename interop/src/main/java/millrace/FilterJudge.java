package millrace;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.rocketmq.broker.filter.MessageEvaluationContext;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.expression.MQFilterException;
import org.apache.rocketmq.filter.parser.SelectorParser;

/** RocketMQ's own verdict on SQL92 expressions: reads "hex of properties text, hex of expression" a line, and answers each with a word. */
final class FilterJudge {
    private FilterJudge() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        StringBuilder answers = new StringBuilder();
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            String[] words = line.split(",", -1);
            answers.append(verdict(text(words[0]), text(words[1]))).append('\n');
        }
        System.out.print(answers);
    }

    private static String verdict(String properties, String expression) {
        Expression compiled;
        try {
            compiled = SelectorParser.parse(expression);
        } catch (MQFilterException refused) {
            return "refused";
        }
        try {
            Object value = compiled.evaluate(new MessageEvaluationContext(MessageDecoder.string2messageProperties(properties)));
            return value == null ? "unknown" : value.toString();
        } catch (Throwable error) {
            return "error";
        }
    }

    private static String text(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }
}
