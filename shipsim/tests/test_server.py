"""Warehouse and carrier as processes: what they refuse, what they repeat, and what they remember."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shipsim.testing import ShipsimProcess


@pytest.fixture(scope="module")
def shipsim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShipsimProcess]:
    with ShipsimProcess(tmp_path_factory.mktemp("shipsim")) as process:
        yield process


class TestServer:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", "/", "", 400),
            ("GET", "/carrier/parcels/../../etc", "", 400),
            ("PUT", "/warehouse/orders/S-1", "no json", 400),
            ("PUT", "/warehouse/orders/S-1", '{"revision": "1", "lines": []}', 400),
            ("PUT", "/warehouse/orders/S-1", "[" * 20_000, 400),
            ("PUT", "/warehouse/orders/S-1", " " * 70_000, 413),
            ("DELETE", "/carrier/parcels/T1", "", 400),
            ("GET", "/carrier/parcels/T404", "", 404),
            ("POST", "/faults", '{"party": "moon", "kind": "slow"}', 400),
        ],
    )
    def test_refuses_what_makes_no_sense(self, shipsim: ShipsimProcess, method: str, path: str, body: str, status: int):
        assert shipsim.http.request(method, path, content=body).status_code == status

    def test_answers_the_same_parcel_twice_even_after_a_restart(self, shipsim: ShipsimProcess):
        first = shipsim.http.put("/carrier/parcels/S-7").json()

        assert shipsim.stop() == 0
        shipsim.start()

        assert shipsim.http.put("/carrier/parcels/S-7").json() == first
        assert first["state"] == "IN_TRANSIT"

    def test_does_what_it_was_asked_although_the_answer_is_lost(self, shipsim: ShipsimProcess):
        shipsim.fault("warehouse", "lost_answer")
        wish = {"revision": 2, "lines": []}

        assert shipsim.http.put("/warehouse/orders/S-8", json=wish).status_code == 503

        late = shipsim.http.put("/warehouse/orders/S-8", json={"revision": 1, "lines": [{"sku": "A"}]}).json()
        assert late["revision"] == 2


def test_a_taken_place_is_said(tmp_path: Path):
    busy = tmp_path / "shipsim"
    busy.write_text("a file where the folder should be")

    with pytest.raises(RuntimeError, match="stopped with 3"):
        ShipsimProcess(tmp_path).start()
