"""Where settings come from, as a user sees it: files, flags, changes at run time, and what `-p` prints."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from pathlib import Path

from mq.remoting.client import RemotingClient
from mq.remoting.command import RemotingCommand
from mq.remoting.signature import Credentials
from mq.security.accounts_file import parse
from mq.tests.test_main import addresses, mq, ready_line, refusal

PORTS = ("--namesrv-port", "0", "--broker-port", "0")


def printed(*arguments: str | Path) -> tuple[dict[str, str], str]:
    """What `python -m mq ... -p` prints, and what it says on the side."""
    command = [sys.executable, "-m", "mq", *map(str, arguments), "-p"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return dict(line.split("=", 1) for line in result.stdout.splitlines()), result.stderr


class TestPrint:
    def test_shows_every_setting_as_it_would_be_used_and_starts_nothing(self, tmp_path):
        changes = tmp_path / "store" / "config" / "brokerChanges.properties"
        changes.parent.mkdir(parents=True)
        changes.write_text("maxMessageSize=2048\nfileReservedTime=7\n")
        file = tmp_path / "broker.conf"
        file.write_text(
            "brokerName=from-file\nmaxMessageSize=1024\nslaveReadEnable=true\nuseEpoll=true\nfileReservedTime=1\n"
        )

        settings, said = printed(
            *("broker", "-c", file, "--data", tmp_path / "store", "--set", "fileReservedTime=9"),
            *("--set", "tls.server.keyPassword=hidden"),
        )

        assert settings["brokerName"] == "from-file"
        assert settings["maxMessageSize"] == "2048"  # changed at run time: wins over the file
        assert settings["fileReservedTime"] == "9"  # a flag: wins over both
        assert settings["flushDiskType"] == "SYNC_FLUSH"
        assert settings["tls.server.keyPassword"] == "******"
        assert "slaveReadEnable has no effect: this broker has no replicas" in said
        assert "unknown configuration key useEpoll is ignored" in said
        assert f"maxMessageSize=2048 was set at run time and wins over the file: see {changes}" in said
        assert not (tmp_path / "store" / "commitlog").exists()

    def test_shows_a_name_servers(self, tmp_path):
        (tmp_path / "namesrvChanges.properties").write_text("orderMessageEnable=true\n")

        settings, _ = printed("namesrv", "--set", f"kvConfigPath={tmp_path}/kvConfig.json")

        assert settings["orderMessageEnable"] == "true"


class TestStart:
    def test_is_refused_where_silence_would_be_a_lie(self, tmp_path):
        sentence = refusal("standalone", "--data", tmp_path, *PORTS, "--set", "enableDLegerCommitLog=true")

        assert "enableDLegerCommitLog=true" in sentence
        assert "no replicas" in sentence

    def test_off_loopback_is_refused_without_accounts(self, tmp_path):
        sentence = refusal("standalone", "--data", tmp_path, *PORTS, "--set", "bindAddress=0.0.0.0")

        assert "aclEnable=true" in sentence

    def test_with_accounts_makes_the_first_ones_and_serves_whoever_has_them(self, tmp_path):
        keys = [
            word
            for key in ("aclEnable=true", "bindAddress=0.0.0.0", "tls.server.mode=disabled")
            for word in ("--set", key)
        ]
        with mq("standalone", "--data", tmp_path, *PORTS, *keys) as process:
            port = addresses(ready_line(process))["broker"].rpartition(":")[2]
            path = tmp_path / "config" / "plain_acl.yml"
            admin = parse(path.read_text()).first_admin
            assert admin is not None
            codes = [
                asyncio.run(runtime_info(f"127.0.0.1:{port}", credentials))
                for credentials in (None, Credentials(admin.access_key, admin.secret_key))
            ]
            process.terminate()
            _, said = process.communicate(timeout=20)

        assert codes == [16, 0]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert str(path) in said
        assert admin.secret_key not in said


async def runtime_info(address: str, credentials: Credentials | None) -> int:
    client = RemotingClient(credentials=credentials)
    code = (await client.invoke(address, RemotingCommand.request(28))).code
    await client.close()
    return code
