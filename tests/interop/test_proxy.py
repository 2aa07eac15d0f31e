"""RocketMQ's gRPC proxy in front of either broker serves the official gRPC client, which consumes by POP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mq.message import record
from mq.remoting.bodies import SubscriptionGroupConfig
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand
from mq.remoting.headers import CreateTopicRequestHeader, PullMessageRequestHeader, PullSysFlag
from tests.interop import apache, maven
from tests.interop.bundled import bundled_broker

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]
#: By night: what Apache answers here does not change, and its processes take minutes to start and stop.
APACHE = pytest.param("apache", marks=pytest.mark.nightly)

FOLDER = maven.INTEROP / "proxy"
BUILT = maven.INTEROP / "target" / "proxy"
#: The official gRPC client and what it needs, with hashes.
CLIENT = FOLDER / "requirements.txt"
START_SECONDS = 90


def build() -> None:
    """Fetch the proxy's jars, and the client into an environment of its own."""
    stamp = BUILT / "built"
    with maven.alone(BUILT):
        if stamp.exists() and stamp.stat().st_mtime >= CLIENT.stat().st_mtime:
            return
        jars = f"-DoutputDirectory={BUILT / 'lib'}"
        subprocess.run(["mvn", "-q", "-B", "-ntp", "dependency:copy-dependencies", jars], cwd=FOLDER, check=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", BUILT / "venv"], check=True)
        pip = [str(BUILT / "venv/bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "--no-deps", "-r", str(CLIENT)], check=True)
        stamp.touch()


@contextlib.contextmanager
def proxy(folder: Path, namesrv: str) -> Iterator[str]:
    """The proxy for a cluster's name server; its gRPC address."""
    port = apache.free_ports()
    config = folder / "rmq-proxy.json"
    config.write_text(
        json.dumps(
            {
                "rocketMQClusterName": "DefaultCluster",
                "namesrvAddr": namesrv,
                "proxyMode": "CLUSTER",
                "grpcServerPort": port,
                "remotingListenPort": port + 1,
            }
        )
    )
    command = ["java", "-Xmx512m", f"-Duser.home={folder}", "-cp", f"{BUILT / 'lib'}/*"]
    command += ["org.apache.rocketmq.proxy.ProxyStartup", "-pm", "cluster", "-n", namesrv, "-pc", str(config)]
    log = folder / "proxy.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={"ROCKETMQ_HOME": str(folder), "PATH": "/usr/bin:/bin"}, stdout=output, stderr=output
        )
    try:
        deadline_s = time.monotonic() + START_SECONDS
        while "startup successfully" not in log.read_text():
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline_s, log.read_text()[-3000:]
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def prepare(broker: str, *, queue_count: int = 4, is_ordered: bool = False) -> None:
    """The topic and the group, without which the proxy serves nobody."""
    kind = "+message.type=" + ("FIFO" if is_ordered else "NORMAL")
    topic = CreateTopicRequestHeader(
        "order-events", "TBW102", queue_count, queue_count, 6, "SINGLE_TAG", attributes=kind
    )
    group = SubscriptionGroupConfig(
        group_name="orders", consume_message_orderly=is_ordered, retry_max_times=1 if is_ordered else 16
    ).to_json()
    client = RemotingClient()
    for request in (
        RemotingCommand.request(RequestCode.UPDATE_AND_CREATE_TOPIC, topic),
        RemotingCommand.request(RequestCode.UPDATE_AND_CREATE_SUBSCRIPTIONGROUP, body=group),
    ):
        response = await client.invoke(broker, request, timeout_s=10.0)
        assert response.code == 0, response.remark
    await client.close()


async def dead_letters(broker: str) -> list[str]:
    header = PullMessageRequestHeader(
        consumer_group="orders",
        topic="%DLQ%orders",
        queue_id=0,
        queue_offset=0,
        max_msg_nums=32,
        sys_flag=PullSysFlag.SUBSCRIPTION,
        commit_offset=0,
        suspend_timeout_millis=0,
        subscription="*",
        sub_version=0,
    )
    client = RemotingClient()
    response = await client.invoke(broker, RemotingCommand.request(RequestCode.PULL_MESSAGE, header), timeout_s=10.0)
    await client.close()
    return [message.body.decode() for message in record.iterate(response.body)] if response.code == 0 else []


def play(kind: str, folder: Path, program: str, **preparations: Any) -> dict[str, Any]:
    """What one of the client's programs saw behind a proxy of the broker."""
    build()
    start = apache.apache_rocketmq if kind == "apache" else bundled_broker
    with start(folder) as cluster:
        asyncio.run(prepare(cluster.broker, **preparations))
        with proxy(folder, cluster.namesrv) as endpoint:
            command = [f"{BUILT}/venv/bin/python", f"{FOLDER}/{program}", endpoint, "order-events", "orders"]
            run = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

        dead = asyncio.run(dead_letters(cluster.broker))

    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-3000:]
    seen: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return seen | {"dead letters": dead}


@pytest.mark.parametrize("kind", ["bundled", APACHE])
def test_the_grpc_client_sends_receives_acknowledges_and_gets_again(kind: str, tmp_path: Path) -> None:
    seen = play(kind, tmp_path, "simple_consumer.py")

    assert seen["received"] == [f"m{number}" for number in range(10)]
    assert seen["attempts"] == [["again", 1], ["again", 2]]


@pytest.mark.parametrize("kind", ["bundled", APACHE])
def test_the_grpc_client_consumes_in_order(kind: str, tmp_path: Path) -> None:
    seen = play(kind, tmp_path, "fifo_consumer.py", queue_count=1, is_ordered=True)

    assert seen == {
        "first": [["m0", 1], ["m1", 1]],
        "while it is locked": [],
        "unlocked": [["m2", 1]],
        "visible again": [["m2", 2], ["m3", 1]],
        "given up": [["poison", 2]],
        "behind it": [["next", 1]],
        "at the end": [],
        "dead letters": ["poison"],
    }
