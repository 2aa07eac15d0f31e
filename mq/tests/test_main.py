"""`python -m mq` as people and supervisors start it: real processes, one ready line, one sentence when refused."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from mq.remoting.bodies import TopicRouteData
from mq.remoting.client import RemotingClient
from mq.remoting.codes import RequestCode
from mq.remoting.command import RemotingCommand

ADDRESS = r"127\.0\.0\.1:\d+"


@contextmanager
def mq(*arguments: str | Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "mq", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ready_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("ready "), process.stderr and process.stderr.read()
    return line


def addresses(line: str) -> dict[str, str]:
    return dict(word.split("=") for word in line.split()[1:])


def refusal(*arguments: str | Path) -> str:
    """The one sentence of a start that exits with 3."""
    result = subprocess.run(
        [sys.executable, "-m", "mq", *map(str, arguments)], capture_output=True, text=True, timeout=20
    )
    assert (result.returncode, result.stdout) == (3, ""), result.stderr
    (sentence,) = [line for line in result.stderr.splitlines() if line.startswith("mq: ")]
    assert "Traceback" not in result.stderr
    return sentence


class TestStandalone:
    def test_says_one_line_when_a_send_would_be_accepted_and_stops_cleanly(self, tmp_path):
        with mq("standalone", "--data", tmp_path, "--namesrv-port", "0", "--broker-port", "0") as process:
            line = ready_line(process)
            assert re.fullmatch(f"ready namesrv={ADDRESS} broker={ADDRESS}\n", line)

            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=20)

        assert (process.returncode, rest) == (0, "")
        assert "Traceback" not in errors
        assert {"commitlog", "config", "checkpoint"} <= {path.name for path in tmp_path.iterdir()}
        assert not (tmp_path / "abort").exists()

    def test_ctrl_c_stops_it_as_cleanly(self, tmp_path):
        with mq("standalone", "--data", tmp_path, "--namesrv-port", "0", "--broker-port", "0") as process:
            ready_line(process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)

        assert process.returncode == 0

    def test_is_ready_for_half_a_second_of_work(self, tmp_path):
        """Once Python has compiled it, as it does at the very first start."""
        compiled = {"PYTHONPYCACHEPREFIX": str(tmp_path / "compiled"), "PYTHONDONTWRITEBYTECODE": ""}
        arguments = ("standalone", "--data", tmp_path / "store", "--namesrv-port", "0", "--broker-port", "0")
        for _ in range(2):
            with mq(*arguments, **compiled) as process:
                ready_line(process)
                used = psutil.Process(process.pid).cpu_times()
                process.terminate()
                process.communicate(timeout=20)

        # Processor time, not the clock on the wall: other tests share the machine.
        assert used.user + used.system < 0.5

    def test_takes_a_file_and_settings_and_warns_of_keys_it_does_not_know(self, tmp_path):
        (tmp_path / "broker.conf").write_text(
            "brokerName=from-file\nbrokerClusterName=C\nuseEpollNativeSelector=true\n"
        )
        arguments = ("-c", tmp_path / "broker.conf", "--set", "brokerName=from-flag", "--data", tmp_path / "store")

        with mq("standalone", *arguments, "--namesrv-port", "0", "--broker-port", "0") as process:
            ready_line(process)
            process.terminate()
            _, errors = process.communicate(timeout=20)

        assert "useEpollNativeSelector is ignored" in errors
        assert "broker from-flag of cluster C came" in errors


class TestSeparateProcesses:
    async def test_a_broker_registers_with_a_name_server_and_leaves_it(self, tmp_path):
        client = RemotingClient()

        async def route(address: str) -> RemotingCommand:
            command = RemotingCommand.request(RequestCode.GET_ROUTEINFO_BY_TOPIC, {"topic": "TBW102"})
            return await client.invoke(address, command)

        kv_config = f"kvConfigPath={tmp_path}/kv.json"
        with mq("namesrv", "--namesrv-port", "0", "--set", kv_config) as name_server:
            namesrv = addresses(ready_line(name_server))["namesrv"]
            with mq("broker", "-n", namesrv, "--broker-port", "0", "--data", tmp_path / "store") as broker:
                broker_address = addresses(ready_line(broker))["broker"]
                data = TopicRouteData.from_json((await route(namesrv)).body)
                assert data.broker_datas[0].broker_addrs == {0: broker_address}

                broker.terminate()
                broker.communicate(timeout=20)
                assert broker.returncode == 0
            assert (await route(namesrv)).code == 17
            await client.close()
            name_server.terminate()
            name_server.communicate(timeout=20)
            assert name_server.returncode == 0


class TestRefusals:
    @pytest.mark.parametrize("taken", ["--namesrv-port", "--broker-port"])
    def test_name_a_port_that_is_taken_and_the_way_out(self, tmp_path, taken):
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = str(holder.getsockname()[1])
            ports = {"--namesrv-port": "0", "--broker-port": "0", taken: port}
            words = [word for flag_and_value in ports.items() for word in flag_and_value]

            sentence = refusal("standalone", "--data", tmp_path, *words)

        assert port in sentence
        assert "--namesrv-port" in sentence

    def test_name_a_second_instance_on_the_same_store_and_leave_the_first_alone(self, tmp_path):
        with mq("standalone", "--data", tmp_path, "--namesrv-port", "0", "--broker-port", "0") as first:
            ready_line(first)

            sentence = refusal("standalone", "--data", tmp_path, "--namesrv-port", "0", "--broker-port", "0")

            assert str(tmp_path) in sentence
            first.terminate()
            first.communicate(timeout=20)
        assert first.returncode == 0

    def test_name_a_directory_that_is_a_file(self, tmp_path):
        (tmp_path / "store").write_text("not a directory")

        sentence = refusal("standalone", "--data", tmp_path / "store", "--namesrv-port", "0", "--broker-port", "0")

        assert str(tmp_path / "store") in sentence

    def test_name_a_bad_setting(self, tmp_path):
        ports = ("--namesrv-port", "0", "--broker-port", "0")
        assert "flushDiskType" in refusal("standalone", "--data", tmp_path, *ports, "--set", "flushDiskType=NEVER")
        assert "KEY=VALUE" in refusal("standalone", "--data", tmp_path, *ports, "--set", "flushDiskType")
        assert "nowhere.conf" in refusal("broker", "-c", tmp_path / "nowhere.conf")

    @pytest.mark.parametrize("flag", ["--namesrv-port", "--broker-port"])
    def test_name_a_port_that_is_none(self, tmp_path, flag):
        ports = {"--namesrv-port": "0", "--broker-port": "0"} | {flag: "99999"}

        sentence = refusal("standalone", "--data", tmp_path, *(word for pair in ports.items() for word in pair))

        assert "listenPort=99999" in sentence

    def test_an_address_that_is_not_ours(self, tmp_path):
        leaving = ("--set", "aclEnable=true", "--set", "tls.server.mode=disabled")
        kv_config = f"kvConfigPath={tmp_path}/kv.json"
        sentence = refusal(
            *("namesrv", "--namesrv-port", "0", "--set", "bindAddress=192.0.2.1", "--set", kv_config), *leaving
        )

        assert "cannot listen on 192.0.2.1" in sentence
