"""Which addresses a server may listen on: others than this machine's come only with accounts."""

import pytest

from mq.broker.config import BrokerConfig
from mq.namesrv.config import NameServerConfig
from mq.properties_file import ConfigError, build
from mq.remoting.tls import TlsMode
from mq.security.config import is_loopback

CONFIGS = pytest.mark.parametrize("config_type", [BrokerConfig, NameServerConfig])
CERTIFICATE = {"tls.server.certPath": "broker.pem", "tls.server.keyPath": "broker.key"}


@CONFIGS
class TestLeavingLoopback:
    @pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "broker.example", ""])
    def test_without_accounts_is_refused(self, config_type, address):
        with pytest.raises(ConfigError, match="aclEnable=true"):
            build(config_type, {"bindAddress": address} | CERTIFICATE)

    def test_in_plain_text_is_refused_unless_somebody_says_so(self, config_type):
        open_to_all = {"bindAddress": "0.0.0.0", "aclEnable": "true"}
        for mode in ({}, {"tls.server.mode": "permissive"}):
            with pytest.raises(ConfigError, match="mode=disabled"):
                build(config_type, open_to_all | mode)

        build(config_type, open_to_all | {"tls.server.mode": "disabled"})

    def test_with_accounts_and_a_certificate_takes_nothing_but_tls(self, config_type):
        config, _ = build(config_type, {"bindAddress": "0.0.0.0", "aclEnable": "true"} | CERTIFICATE)

        assert config.effective_tls_mode is TlsMode.ENFORCING


@CONFIGS
class TestOnLoopback:
    @pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
    def test_nothing_is_asked_for(self, config_type, address):
        config, _ = build(config_type, {"bindAddress": address})

        assert config.effective_tls_mode is TlsMode.DISABLED

    def test_a_certificate_adds_tls_beside_plain_text(self, config_type):
        config, _ = build(config_type, CERTIFICATE)

        assert config.effective_tls_mode is TlsMode.PERMISSIVE

    def test_nothing_but_tls_needs_a_certificate(self, config_type):
        with pytest.raises(ConfigError, match="certPath"):
            build(config_type, {"tls.server.mode": "enforcing"})


def test_names_are_not_looked_up():
    # An answer that changes after the check would let anybody in.
    assert not is_loopback("localhost.example")
