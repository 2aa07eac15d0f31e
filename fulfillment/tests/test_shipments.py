"""From a paid order to the door, with a warehouse and a carrier that behave and that do not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from common.breaker import State
from fulfillment import consumers
from fulfillment.models import TRANSITIONS, Shipment
from fulfillment.partners import client
from fulfillment.tests.world import World, status

pytestmark = pytest.mark.django_db(databases=["fulfillment"], transaction=True)

HALF_AN_HOUR, A_DAY = timedelta(minutes=31), timedelta(hours=25)


def circuit(party: client.Party) -> State:
    return client.BREAKERS[party].state


@pytest.fixture(autouse=True)
def _one_clock(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "now", world.now)


class TestAShipment:
    def test_is_packed_in_half_an_hour_and_delivered_in_a_day(self, world: World):
        order_no = world.paid(TEAPOT=1, CUP=6)
        world.work()
        assert status(order_no) == "PACKING"

        world.pass_time(HALF_AN_HOUR)
        assert (status(order_no), world.tags()) == ("DISPATCHED", ["ShipmentDispatched"])
        world.pass_time(A_DAY)

        assert (status(order_no), world.tags()) == ("DELIVERED", ["ShipmentDispatched", "ShipmentDelivered"])
        shipment = Shipment.objects.get(order_no=order_no)
        assert [event.version for event in world.told] == [4, 5]  # type: ignore[attr-defined]
        assert shipment.version == 5

    def test_is_one_however_often_the_order_is_paid(self, world: World):
        """Protects `ON CONFLICT` in create.sql."""
        order_no = world.paid(TEAPOT=1)
        event = world._waiting[0][1]

        for _ in range(3):
            world.hear(event)

        assert Shipment.objects.filter(order_no=order_no).count() == 1

    @pytest.mark.parametrize("kind", ["unavailable", "lost_answer"])
    @pytest.mark.parametrize("party", ["warehouse", "carrier"])
    def test_waits_for_a_party_that_fails_and_is_sent_once(self, world: World, party: str, kind: str):
        world.partners.fault(party, kind, count=3)
        order_no = world.paid(TEAPOT=1)

        for _ in range(5):
            world.pass_time(HALF_AN_HOUR)

        assert world.tags() == ["ShipmentDispatched"]
        assert status(order_no) == "DISPATCHED"

    def test_knows_no_way_back_from_its_ends(self):
        assert not TRANSITIONS[Shipment.Status.DELIVERED]
        assert not TRANSITIONS[Shipment.Status.STOPPED]


class TestACarrierThatIsDown:
    def test_is_left_alone_after_some_failures_and_asked_again_later(self, world: World, monkeypatch: Any):
        """Protects `raise CircuitOpen` in breaker.py: the sixth shipment costs the carrier no request."""
        moment = [0.0]
        monkeypatch.setattr(client.BREAKERS["carrier"], "_clock", lambda: moment[0])
        world.partners.fault("carrier", "unavailable", count=5)
        orders = [world.paid(TEAPOT=1) for _ in range(8)]
        world.work()

        world.pass_time(HALF_AN_HOUR)

        assert circuit("carrier") is State.OPEN
        assert {status(order_no) for order_no in orders} == {"DISPATCHING"}
        moment[0] = 60.0  # The faults are used up: whoever tries first finds the carrier well.
        world.pass_time(HALF_AN_HOUR)
        assert circuit("carrier") is State.CLOSED
        assert {status(order_no) for order_no in orders} == {"DISPATCHED"}
        assert len(world.told) == 8

    def test_holds_up_no_warehouse(self, world: World):
        world.partners.fault("carrier", "unavailable", count=1000)

        orders = [world.paid(TEAPOT=1) for _ in range(3)]
        world.work()
        world.pass_time(HALF_AN_HOUR)

        assert {status(order_no) for order_no in orders} == {"DISPATCHING"}
        assert circuit("warehouse") is State.CLOSED


class TestStopping:
    def test_some_units_while_it_is_packed_leaves_them_out(self, world: World):
        order_no = world.paid(TEAPOT=1, CUP=6)
        world.work()

        world.stop(order_no, CUP=4)
        world.work()

        assert (status(order_no), world.tags()) == ("PACKING", ["ShipmentStopped"])
        world.pass_time(HALF_AN_HOUR)
        assert world.tags() == ["ShipmentStopped", "ShipmentDispatched"]
        wish = world.partners.http.put(f"/warehouse/orders/S-{order_no}", json={"revision": 0, "lines": []}).json()
        assert wish["revision"] == 2

    def test_all_units_before_it_left_ends_it(self, world: World):
        order_no = world.paid(TEAPOT=1, CUP=6)
        world.work()
        world.stop(order_no, CUP=2)
        world.work()

        world.stop(order_no, CUP=4, TEAPOT=1)
        world.pass_time(HALF_AN_HOUR)

        assert (status(order_no), world.tags()) == ("STOPPED", ["ShipmentStopped", "ShipmentStopped"])

    def test_some_units_of_a_parcel_that_is_closed_is_too_late(self, world: World):
        order_no = world.paid(CUP=6)
        world.work()
        world._offset_file.write_bytes((world._offset_ms() + 3_600_000).to_bytes(8, "big", signed=True))

        world.stop(order_no, CUP=1)
        world.work()

        assert sorted(world.tags()) == ["ShipmentDispatched", "ShipmentNotStopped"]

    def test_all_of_it_on_its_way_calls_it_back_and_waits_for_it(self, world: World):
        order_no = world.paid(CUP=6)
        world.work()
        world.pass_time(HALF_AN_HOUR)
        world.partners.fault("carrier", "lost_answer")

        world.stop(order_no, CUP=6)
        world.work()
        world.pass_time(timedelta(minutes=1))
        assert (status(order_no), world.tags()) == ("RETURNING", ["ShipmentDispatched"])
        for _ in range(3):
            world.pass_time(A_DAY)

        assert (status(order_no), world.tags()) == ("STOPPED", ["ShipmentDispatched", "ShipmentStopped"])

    def test_what_has_arrived_is_too_late(self, world: World):
        order_no = world.paid(CUP=6)
        world.work()
        world.pass_time(HALF_AN_HOUR)
        world.pass_time(A_DAY)

        world.stop(order_no, CUP=6)
        world.work()

        assert world.tags()[-1] == "ShipmentNotStopped"
        assert status(order_no) == "DELIVERED"

    def test_waits_for_the_shipment_when_the_refund_is_faster_than_the_payment(self, world: World):
        order_no = f"M-EARLY-{id(world)}"
        world.stop(order_no, CUP=6)
        world.work()
        assert world.told == []

    def test_never_stops_what_the_carrier_may_have(self, world: World):
        """Protects `shipment.move(_S.DISPATCHING)` before the carrier is asked: its answer may be lost for long."""
        order_no = world.paid(CUP=6)
        world.work()
        world.partners.fault("carrier", "lost_answer", count=2)
        world.pass_time(HALF_AN_HOUR)
        assert status(order_no) == "DISPATCHING"

        world.stop(order_no, CUP=6)
        world.work()
        assert world.told == []
        for _ in range(3):
            world.pass_time(timedelta(minutes=1))

        assert world.tags() == ["ShipmentDispatched"]
        assert status(order_no) == "RETURNING"


class TestAReturn:
    def test_is_fetched_and_told_of_once_it_is_back(self, world: World):
        order_no = world.paid(CUP=6)
        refund_no = world.send_back(order_no, CUP=2)
        world.partners.fault("carrier", "unavailable")

        world.work()
        world.pass_time(timedelta(minutes=1))
        assert world.told == []
        world.pass_time(A_DAY)
        world.pass_time(A_DAY)

        assert [event.key for event in world.told if event.tag == "ReturnReceived"] == [refund_no]
