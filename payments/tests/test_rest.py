from __future__ import annotations

import socket

import httpx
import pytest

from common.testing import race
from payments.gateway import transport
from payments.gateway.contract import GatewayUnavailable
from payments.gateway.rest import REST_S, Rest

GATEWAY = "http://gateway"


class TestRest:
    @pytest.fixture
    def moment(self):
        return [100.0]

    @pytest.fixture
    def rest(self, moment):
        return Rest(lambda: moment[0])

    def test_is_over_after_a_moment(self, rest, moment):
        rest.failed(GATEWAY)

        assert rest.is_resting(GATEWAY)
        moment[0] += REST_S
        assert not rest.is_resting(GATEWAY)

    def test_is_over_when_somebody_got_an_answer(self, rest):
        rest.failed(GATEWAY)
        rest.answered(GATEWAY)

        assert not rest.is_resting(GATEWAY)

    def test_is_of_one_address(self, rest):
        rest.failed(GATEWAY)

        assert not rest.is_resting("http://another")


class TestGatewayThatSwallowsRequests:
    def test_keeps_one_caller_waiting_and_not_the_next(self, settings, monkeypatch):
        monkeypatch.setattr(transport, "_rest", Rest())
        with socket.create_server(("127.0.0.1", 0)) as silent:
            settings.PAYSIM_URL = f"http://127.0.0.1:{silent.getsockname()[1]}"
            with pytest.raises(GatewayUnavailable, match="ReadTimeout"):
                transport.send("/gateway.do", what="RETRO-CLOCK-1")

            with pytest.raises(GatewayUnavailable, match="a moment ago"):
                transport.send("/gateway.do", what="RETRO-CLOCK-2")


class TestConnections:
    def test_are_one_client_for_threads_that_call_first_at_once(self):
        """Guard: the lock in `_Connections.http`. Without it each made a client, and all but one stayed open."""
        connections = transport._Connections()

        clients = race([connections.http] * 16)

        assert len(set(map(id, clients))) == 1
        assert isinstance(clients[0], httpx.Client)
        connections.close()
        assert clients[0].is_closed
