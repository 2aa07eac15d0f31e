"""The official Java client with accounts and with TLS, against the bundled broker.

Apache RocketMQ 5.3.3 is no judge here: it has other accounts (ACL 2.0), so the files differ, not the wire.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mq.security.tests.certificates import Authority
from tests.interop import apache
from tests.interop.bundled import bundled_broker
from tests.interop.java_client import JUNIT

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

ACCOUNTS = """\
accounts:
- accessKey: operator
  secretKey: operator-secret-1
  admin: true
- accessKey: orders-service
  secretKey: orders-secret-1
  topicPerms:
  - Orders=PUB|SUB
  - Transactions=PUB
  groupPerms:
  - orders=SUB
"""


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain text", "TLS"])
def test_every_case_with_accounts_passes(is_encrypted: bool, tmp_path: Path) -> None:
    apache.build()
    (tmp_path / "plain_acl.yml").write_text(ACCOUNTS)
    keys, flags = {"aclEnable": "true", "aclFile": str(tmp_path / "plain_acl.yml")}, []
    if is_encrypted:
        authority = Authority(tmp_path)
        pair = authority.pair("broker")
        keys |= {
            "tls.server.mode": "enforcing",
            "tls.server.certPath": str(pair.cert),
            "tls.server.keyPath": str(pair.key),
        }
        flags = [
            "-Dtls.enable=true",
            "-Dtls.client.authServer=true",
            f"-Dtls.client.trustCertPath={authority.cert}",
            f"-Dtls.config.file={tmp_path / 'none.properties'}",
        ]
    with bundled_broker(tmp_path, keys) as cluster:
        run = apache.java(
            *JUNIT,
            "--select-class=millrace.SecurityTest",
            jvm=(
                "-Xmx512m",
                f"-Dnamesrv={cluster.namesrv}",
                f"-Dbroker={cluster.broker}",
                "-Drocketmq.client.rebalance.waitInterval=1000",
                f"-Duser.home={tmp_path}",
                *flags,
            ),
            timeout_s=200,
        )

    print(run.stdout)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    assert "5 tests successful" in run.stdout
