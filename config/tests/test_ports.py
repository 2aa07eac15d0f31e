from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from config.errors import CannotStart
from config.supervisor import ports

NAMES = ["namesrv", "broker", "web", "paysim"]


@pytest.fixture
def taken() -> Iterator[int]:
    """A port somebody else listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


class TestChoose:
    def test_takes_free_ports_from_the_base_on(self, tmp_path, taken):
        base_port = min(taken, 65_000)

        chosen = ports.choose(tmp_path, NAMES, base_port=base_port)

        assert list(chosen) == NAMES
        assert len(set(chosen.values())) == 4
        assert taken not in chosen.values()
        assert all(base_port <= port < base_port + 200 for port in chosen.values())

    def test_remembers_them(self, tmp_path, taken):
        chosen = ports.choose(tmp_path, NAMES, base_port=min(taken, 65_000))

        assert ports.choose(tmp_path, NAMES, base_port=None) == chosen

    @pytest.mark.parametrize("content", ["", "[oh", "[1]", '{"web": "80"}', '{"web": 70000}', '{"web": [1]}', "\udcff"])
    def test_forgets_what_makes_no_sense(self, tmp_path, content):
        (tmp_path / "ports.json").write_bytes(content.encode(errors="surrogateescape"))

        assert ports._remembered(tmp_path) == {}

    def test_names_the_port_that_is_taken_and_the_way_out(self, tmp_path, taken):
        (tmp_path / "ports.json").write_text(json.dumps({"web": taken}))

        with pytest.raises(CannotStart, match=rf"Port {taken} \(web\) is taken by .* \(pid \d+\).*--base-port"):
            ports.choose(tmp_path, ["web"], base_port=None)

    def test_can_be_asked_before_which_are_taken(self, tmp_path, taken):
        (tmp_path / "ports.json").write_text(json.dumps({"web": taken, "paysim": 0}))

        assert ports.taken(tmp_path, ["web", "paysim"]) == {"web": taken}

    @pytest.mark.parametrize("base_port", [80, 65_500])
    def test_refuses_a_base_without_room(self, tmp_path, base_port):
        with pytest.raises(CannotStart, match="between 1024 and 65335"):
            ports.choose(tmp_path, NAMES, base_port=base_port)
