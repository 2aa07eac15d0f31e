"""The released `mqadmin`: every command of it that a cluster of one broker can answer, one after another.

The commands tell a story, so that each finds something: topics are made, messages sent and consumed, looked for,
counted, consumed again, and all is taken away at the end. `{broker}` and what earlier commands printed are filled in.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.interop.apache import Cluster
from tests.interop.judging import FAILED, Answers, Judge
from tests.interop.maven import V5

#: Ask again until the answer has what is waited for: queues and counters follow the log by a moment.
PATIENCE_S = 30


@dataclass(frozen=True)
class Command:
    """A command line, and what to do with its answer.

    `until` is a pattern to wait for; `keeps` gives a name to the first group of one; of the lines that are compared,
    `only` says which, and they are sorted where their order means nothing.
    """

    line: str
    until: str = ""
    keeps: tuple[str, str] = ("", "")
    is_sorted: bool = False
    only: str = ""


#: Keys that both brokers have; what they are set to must be the same.
BROKER_KEYS = "^(brokerName|brokerId|brokerClusterName|deleteWhen|messageDelayLevel|autoCreateTopicEnable) ="

COMMANDS = (
    Command("updateTopic -c DefaultCluster -t orders -r 4 -w 4"),
    Command("updateTopic -b {broker} -t parcels -r 2 -w 2 -o true"),
    Command("updateTopic -b {broker} -t no+such/topic"),
    Command("updateTopic -b {broker} -t TBW102"),
    Command("updateTopicPerm -c DefaultCluster -t parcels -p 4"),
    Command("topicRoute -t orders"),
    Command("topicRoute -t parcels"),
    Command("topicRoute -t nowhere"),
    Command("updateTopicPerm -b {broker} -t parcels -p 6"),
    Command("updateOrderConf -t parcels -m put -v broker-a:2"),
    Command("updateOrderConf -t parcels -m get"),
    Command("updateOrderConf -t parcels -m delete"),
    Command("allocateMQ -t orders -i 10.0.0.1,10.0.0.2,10.0.0.3"),
    Command("+consume checkout orders", keeps=("client", r"(\S+)")),
    Command("+produce tills orders"),
    Command(
        "sendMessage -t orders -p hello -k order-17 -c paid -b broker-a -i 0", keeps=("unique", r"([0-9A-F]{32,})")
    ),
    Command("sendMessage -t orders -p goodbye -k order-18 -c refunded -b broker-a -i 1"),
    Command("checkMsgSendRT -t orders -a 2 -s 16"),
    Command("topicStatus -t orders", until=r"broker-a +1 +0 +[12]"),
    Command("topicClusterList -t orders"),
    Command("topicList", is_sorted=True),
    Command("topicList -c", until=r"orders +checkout", is_sorted=True),
    Command("clusterList"),
    Command("clusterList -m", until=r"broker-a +0 +0 +5 +5"),
    Command("+interrupt clusterRT -a 1 -s 16 -i 9"),
    Command("sendMsgStatus -b broker-a -c 2"),
    Command("consumerConnection -g checkout"),
    Command("consumerConnection -g nobody"),
    Command("producerConnection -g tills -t orders"),
    Command("producerConnection -g nobody -t orders"),
    Command("producer -b {broker}", is_sorted=True),
    Command("consumerProgress -g checkout", until=r"broker-a +3 +1 +1 +0"),
    Command("consumerProgress -g nobody"),
    Command("consumerProgress", is_sorted=True),
    Command(
        "consumerStatus -g checkout -i {client}",
        until=r"orders +broker-a +2 +0\s",
        only="^orders broker-a . .$|Topic: |^(consumerGroup|messageModel) ",
    ),
    Command("statsAll -t orders", until=r"checkout +0 .* 5 +5"),
    Command("statsAll", until=r"broker-a .* 4 +NO_CONSUMER", is_sorted=True),
    Command("brokerConsumeStats -b {broker}", is_sorted=True),
    Command(
        "brokerStatus -b {broker}",
        only="^(brokerVersion|msg(Put|Get)Total|putTps|get(?!Transfered)\\w+Tps|bootTimestamp)",
        is_sorted=True,
    ),
    Command("updateBrokerConfig -b {broker} -k fileReservedTime -v 48"),
    Command("updateBrokerConfig -b {broker} -k brokerConfigPath -v anywhere"),
    Command("getBrokerConfig -b {broker}", only=BROKER_KEYS, is_sorted=True),
    Command("getBrokerConfig -c DefaultCluster", only=BROKER_KEYS, is_sorted=True),
    Command("queryMsgByKey -t orders -k order-17", until="[0-9A-F]{32}"),
    Command("queryMsgByUniqueKey -t orders -i {unique}"),
    Command("queryMsgByUniqueKey -t orders -i {unique} -g checkout -d {client}"),
    Command("queryMsgByOffset -t orders -b broker-a -i 0 -o 0", keeps=("id", r"OffsetID: +(\S+)")),
    Command("queryMsgById -t orders -i {id}"),
    Command("queryMsgById -t orders -i {id} -g checkout -d {client}"),
    Command("queryCq -t orders -q 0 -i 0 -c 2 -b {broker}"),
    Command("queryCq -t orders -q 0 -i 0 -c 2 -b {broker} -g checkout"),
    Command("printMsg -t orders -d true", is_sorted=True),
    Command("printMsgByQueue -t orders -a broker-a -i 0 -p true -d true -f true"),
    Command("consumeMessage -t orders -b broker-a -i 0 -o 0 -c 1"),
    Command("resetOffsetByTime -g checkout -t orders -s 0"),
    Command("resetOffsetByTime -g checkout -t orders -s now"),
    Command("resetOffsetByTime -g nobody -t orders -s 0"),
    Command("skipAccumulatedMessage -g checkout -t orders"),
    Command("cloneGroupOffset -s checkout -d nobody -t orders"),
    Command("updateSubGroup -c DefaultCluster -g copies"),
    Command("cloneGroupOffset -s checkout -d copies -t orders"),
    Command("updateSubGroup -c DefaultCluster -g audits -r 3 -q 1"),
    Command("getConsumerConfig -g audits"),
    Command("getConsumerConfig -g nobody"),
    Command("deleteSubGroup -c DefaultCluster -g audits -r true"),
    Command("wipeWritePerm -b broker-a"),
    Command("addWritePerm -b broker-a"),
    Command("updateKvConfig -s seasons -k winter -v snow"),
    Command("deleteKvConfig -s seasons -k winter"),
    Command("updateNamesrvConfig -k orderMessageEnable -v true"),
    Command("updateNamesrvConfig -k kvConfigPath -v anywhere"),
    Command("getNamesrvConfig", only="^orderMessageEnable"),
    Command("cleanExpiredCQ -b {broker}"),
    Command("cleanUnusedTopic -b {broker}"),
    Command("deleteExpiredCommitLog -b {broker}"),
    Command("queryMsgById -t orders -i {unique} -s true"),
    Command("deleteTopic -t parcels -c DefaultCluster"),
    Command("deleteTopic -t nowhere -c DefaultCluster"),
    Command("+interrupt startMonitoring"),
)


def run(cluster: Cluster, folder: Path) -> Answers:
    command = ["java", "-Xmx512m", "-Djava.security.manager=allow", f"-Duser.home={folder}"]
    command += [f"-Dnamesrv={cluster.namesrv}", f"-Drocketmq.namesrv.addr={cluster.namesrv}"]
    command += ["-cp", V5.classpath, "millrace.MqAdmin"]
    with (folder / "mqadmin.err").open("w") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        answers = dict(story(process.stdin, process.stdout, cluster))
        process.stdin.close()
    return answers


def story(commands: IO[str], answers: IO[str], cluster: Cluster) -> Iterator[tuple[str, str]]:
    known = {"broker": cluster.broker}
    for command in COMMANDS:
        line = command.line.format_map(known)
        deadline_s = time.monotonic() + PATIENCE_S
        printed = ask(commands, answers, line)
        while command.until and not re.search(command.until, printed) and time.monotonic() < deadline_s:
            time.sleep(0.2)
            printed = ask(commands, answers, line)
        name, pattern = command.keeps
        if name:
            kept = re.search(pattern, printed)
            known[name] = kept[1] if kept else "nothing"
        if not line.startswith(SCENERY):
            case = command.line.removeprefix("+interrupt ").format_map({key: key.upper() for key in known})
            yield case, readable(printed, command, cluster)


#: Commands of our driver that only give the others something to look at.
SCENERY = ("+consume", "+produce")


def ask(commands: IO[str], answers: IO[str], line: str) -> str:
    print(time.strftime("%X"), line)
    commands.write("\t".join(line.split()) + "\n")
    commands.flush()
    for answer in iter(answers.readline, ""):
        if answer.startswith('"'):
            return str(json.loads(answer))
    return f"{FAILED}: mqadmin ended at {line}"


#: What differs from run to run, and what stands for it.
VARYING = (
    (r"\d{4}-\d\d-\d\d[ #T]\d\d:\d\d:\d\d([,.:]\d+)?", "TIME"),
    (r"\b1[6-9]\d{11}\b", "TIME"),
    (r"(?<![0-9A-F])[0-9A-F]{32,}(?![0-9A-F])", "ID"),
    (r"\b[\d.]+@\w+(#\w+)*", "CLIENT"),
    (r"/?127\.0\.0\.1:\d+", "ADDRESS"),
    (r"(?<![\d.])\d+\.\d+(E-?\d+)?(?![\d.])|\bNaN\b", "RATE"),
    (r"\b\d+ ?ms\b", "MS"),
    (r"\((\d+),MS", "(NUMBER,MS"),
    (r"\|\d+,MS", "|NUMBER,MS"),
    (r"spentTimeMills=\d+", "spentTimeMills=MS"),
    (r"\d+-\d+\(RATEw", "TIMERS(RATEw"),
    (r"RATE( RATE)*", "RATES"),
    (r"OK, \d+$", "OK, TOPICS"),
    (r"queueId=\d+\], queueOffset=\d+, recall", "PLACE, recall"),
    (r"(true|false) \d+$", r"\1 MS"),
    (r"storeSize=\d+|commitLogOffset=\d+|physicOffset=\d+|physicSize=\d+", "PLACE"),
    # A refusal is its code; the sentence is each broker's own.
    (r"^.*Exception: CODE: (\d+) .*$", r"refused with code \1"),
)
#: Said besides the answer, or about what only Apache has: replication, POP, and a topic's own name as a group; and
#: whether a client has committed anything for its empty retry topic yet.
ASIDE = re.compile(
    r"at |\.\.\. \d+ more|See http|For more information|.*SubCommandException|.*RuntimeException: \w+ command failed"
    r"|.*InterruptedException|.*\|-(?:INFO|WARN) in |.*rmq_sys_(?:REVIVE_LOG|SYNC_BROKER_MEMBER)_"
    r"|.*RMQ_SYS_TRANS_\w*HALF_TOPIC|(?:DefaultCluster )?(\S+) \1( |$)|MessageTrack \[consumerGroup=orders,"
    r"|%RETRY%\S+ broker-a "
)


def readable(printed: str, command: Command, cluster: Cluster) -> str:
    """Without what differs from run to run, what is said besides, and the width of columns."""
    for address, name in ((cluster.broker, "BROKER"), (cluster.namesrv, "NAMESRV")):
        printed = printed.replace(address, name)
    lines = [" ".join(line.split()) for line in printed.replace("MessageTrack [", "\nMessageTrack [").splitlines()]
    lines = [line for line in lines if line and not ASIDE.match(line) and re.search(command.only, line)]
    for pattern, name in VARYING:
        lines = [re.sub(pattern, name, line) for line in lines]
    if command.is_sorted:
        lines.sort()
    return "\n".join(lines) or "nothing is printed"


#: On purpose; the page gives the reason.
EARLY_RETRY_ROUTE = "a retry topic has a route before its group exists, so that the first retry is not late"
DIFFERENCES = {
    "consumerConnection -g nobody": EARLY_RETRY_ROUTE,
    "consumerProgress -g nobody": EARLY_RETRY_ROUTE,
    "brokerStatus -b BROKER": "messages to the broker's own topics count as well",
    "queryCq -t orders -q 0 -i 0 -c 2 -b BROKER": "`eval` says whether a subscription wants it; Apache's says no",
    "queryCq -t orders -q 0 -i 0 -c 2 -b BROKER -g checkout": "the same, and no SQL92 filter means no filter data",
}
JUDGE = Judge(
    "mqadmin 5.3.3", run, V5.build, tools=("java", "javac", "mvn"), differences=DIFFERENCES, needs_fresh_cluster=True
)
