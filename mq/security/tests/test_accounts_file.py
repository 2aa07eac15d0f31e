import logging
import stat

import pytest

from mq.properties_file import ConfigError
from mq.security.accounts import Account, Accounts, Permission
from mq.security.accounts_file import open_accounts, parse

#: The shape of the file that comes with RocketMQ 4.9, comments and all.
PLAIN_ACL = """\
# accounts of the shop
globalWhiteRemoteAddresses:
- 10.10.103.*
- 192.168.0.*

accounts:
- accessKey: orders-service
  secretKey: "orders-secret-1"
  whiteRemoteAddress:
  admin: false
  defaultTopicPerm: DENY
  defaultGroupPerm: SUB
  topicPerms:
  - OrderPlaced=PUB|SUB   # both
  - OrderClosed=SUB
  groupPerms:
  # the group should convert to retry topic
  - payments=DENY

- accessKey: operator
  secretKey: operator-secret
  whiteRemoteAddress: 192.168.1.*
  admin: true
"""


def account(accounts: Accounts, access_key: str) -> Account:
    return next(one for one in accounts if one.access_key == access_key)


class TestParse:
    def test_reads_rocketmqs_file(self):
        orders = account(parse(PLAIN_ACL), "orders-service")

        assert orders.secret_key == "orders-secret-1"
        assert [orders.may_publish("OrderPlaced"), orders.may_subscribe("OrderPlaced")] == [True, True]
        assert [orders.may_publish("OrderClosed"), orders.may_subscribe("OrderClosed")] == [False, True]
        assert [orders.may_publish("Else"), orders.may_subscribe("Else")] == [False, False]
        assert [orders.may_consume_as("inventory"), orders.may_consume_as("payments")] == [True, False]
        assert not orders.admin

    def test_an_administrator_may_everything(self):
        operator = account(parse(PLAIN_ACL), "operator")

        assert operator.may_publish("T", reserved=True)
        assert operator.may_subscribe("T", reserved=True)
        assert operator.may_consume_as("g")

    def test_says_that_addresses_are_not_honoured(self, caplog):
        parse(PLAIN_ACL)

        warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [("globalWhite" in line, "whiteRemoteAddress" in line) for line in warned] == [
            (True, False),
            (False, True),
        ]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "no accounts"),
            ("accounts:\n- accessKey: short\n  secretKey: long-enough\n", "7 characters"),
            ("accounts:\n- accessKey: long-enough\n", "7 characters"),
            ("accounts:\n- accessKey: RocketMQ\n  secretKey: 12345678\n", "public sample"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n  admin: yes\n", "admin"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n  defaultTopicPerm: ALL\n", "ALL"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n  topicPerms:\n  - T\n", "NAME=PERMISSION"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n  adnim: true\n", "line 4: adnim"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n  admin: false\n  admin: true\n", "twice"),
            ("accounts:\n- accessKey: operator\n  secretKey: its-secret\n" * 2, "line 5: operator is there twice"),
            ("accounts: !!python/object/apply:os.system [id]\n", "line 1"),
            ("accounts:\n- &a accessKey: operator\n", "line 2"),
            ("accounts:\n\t- accessKey: operator\n", "line 2"),
            ("accounts:\n- {accessKey: operator}\n", "line 2"),
            ("users:\n- accessKey: operator\n", "line 1"),
        ],
    )
    def test_names_what_it_does_not_understand(self, text, words):
        with pytest.raises(ConfigError, match=words):
            parse(text, "plain_acl.yml")

    def test_never_shows_a_secret(self):
        assert "secret" not in repr(account(parse(PLAIN_ACL), "orders-service")).replace("orders-service", "")


class TestPermissions:
    orders = Account("orders-service", "secret-1", groups={"inventory": Permission.SUB})

    def test_retry_and_dead_letter_topics_belong_to_their_group(self):
        for topic in ("%RETRY%inventory", "%DLQ%inventory"):
            assert self.orders.may_publish(topic)
            assert self.orders.may_subscribe(topic)
        assert not self.orders.may_publish("%RETRY%payments")
        assert not self.orders.may_subscribe("%DLQ%payments")

    def test_a_default_is_not_meant_for_the_brokers_own_topics(self):
        wide = parse("accounts:\n- accessKey: wide-app\n  secretKey: its-secret\n  defaultTopicPerm: PUB|SUB\n")

        assert account(wide, "wide-app").may_subscribe("Anything")
        assert not account(wide, "wide-app").may_subscribe("RMQ_SYS_TRANS_HALF_TOPIC", reserved=True)


class TestFirstStart:
    def test_makes_random_secrets_that_only_the_owner_reads_and_says_where(self, tmp_path, caplog):
        path = tmp_path / "config" / "plain_acl.yml"

        first = open_accounts(path)
        other = open_accounts(tmp_path / "other.yml")

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert str(path) in caplog.text
        assert {one.access_key: one.admin for one in first} == {"millrace-admin": True, "millrace-app": False}
        secrets = [one.secret_key for accounts in (first, other) for one in accounts]
        assert len(set(secrets)) == 4
        assert min(map(len, secrets)) >= 32
        assert not any(secret in caplog.text for secret in secrets)

    def test_the_next_one_reads_the_same_accounts(self, tmp_path):
        path = tmp_path / "plain_acl.yml"

        assert list(open_accounts(path)) == list(open_accounts(path))

    def test_warns_of_a_file_that_others_may_read(self, tmp_path, caplog):
        path = tmp_path / "plain_acl.yml"
        open_accounts(path)
        path.chmod(0o644)

        open_accounts(path)

        assert f"chmod 600 {path}" in caplog.text

    def test_a_folder_that_cannot_be_written_is_a_sentence(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(ConfigError, match="cannot be written"):
            open_accounts(tmp_path / "file" / "plain_acl.yml")
