"""What fulfillment remembers: one shipment per order, what was asked to be stopped, and parcels that come back.

How a shipment may change; each change raises its version by one:

    PACKING      -> PACKED       the warehouse has closed the parcel
    PACKING      -> STOPPED      nothing is left to send
    PACKED       -> DISPATCHING  from now on the carrier may have it: nobody but the carrier can stop it
    PACKED       -> STOPPED      it stays in the warehouse
    DISPATCHING  -> DISPATCHED   the carrier said that it has it
    DISPATCHED   -> DELIVERED
    DISPATCHED   -> RETURNING    the carrier brings it back
    RETURNING    -> STOPPED      it is back
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q


class InvalidTransition(Exception):
    """A bug: a shipment was to go where `TRANSITIONS` does not lead."""


class Shipment(models.Model):
    """The parcel of one paid order."""

    class Status(models.TextChoices):
        PACKING = "PACKING"
        PACKED = "PACKED"
        DISPATCHING = "DISPATCHING"
        DISPATCHED = "DISPATCHED"
        DELIVERED = "DELIVERED"
        RETURNING = "RETURNING"
        STOPPED = "STOPPED"

    order_no = models.CharField(max_length=32, primary_key=True)
    buyer_id = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices)
    version = models.PositiveIntegerField()
    #: How often the wish to the warehouse was changed; it carries out the newest it has heard of.
    revision = models.PositiveIntegerField(default=1, db_default=1)
    tracking_no = models.CharField(max_length=64, blank=True, default="", db_default="")
    #: An `orders.messages.Address`.
    address = models.JSONField(null=True)
    created_at = models.DateTimeField()
    dispatched_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "PACKING",
                        "PACKED",
                        "DISPATCHING",
                        "DISPATCHED",
                        "DELIVERED",
                        "RETURNING",
                        "STOPPED",
                    ]
                ),
                name="shipment_status_known",
            )
        ]

    def __str__(self) -> str:
        return f"{self.order_no} {self.status} v{self.version}"

    @property
    def shipment_no(self) -> str:
        """Its number at the warehouse and the carrier: the order's own, marked as a shipment."""
        return shipment_number(self.order_no)

    def move(self, to: Status, **write: object) -> None:
        """Go on; the caller holds the row's lock.

        Raises: InvalidTransition.
        """
        if to not in TRANSITIONS[Shipment.Status(self.status)]:
            raise InvalidTransition(f"shipment {self} cannot become {to}")
        self.status, self.version = to, self.version + 1
        for name, value in write.items():
            setattr(self, name, value)
        self.save(update_fields=["status", "version", *write])


_S = Shipment.Status
TRANSITIONS: dict[Shipment.Status, frozenset[Shipment.Status]] = {
    _S.PACKING: frozenset({_S.PACKED, _S.STOPPED}),
    _S.PACKED: frozenset({_S.DISPATCHING, _S.STOPPED}),
    _S.DISPATCHING: frozenset({_S.DISPATCHED}),
    _S.DISPATCHED: frozenset({_S.DELIVERED, _S.RETURNING}),
    _S.DELIVERED: frozenset(),
    _S.RETURNING: frozenset({_S.STOPPED}),
    _S.STOPPED: frozenset(),
}


def shipment_number(order_no: str) -> str:
    return f"S-{order_no}"


class ShipmentLine(models.Model):
    """Units of one article in a parcel, and how many of them were taken out before it left."""

    shipment = models.ForeignKey(Shipment, models.CASCADE, related_name="lines", db_index=False)
    sku = models.CharField(max_length=64)
    quantity = models.PositiveIntegerField()
    stopped = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["shipment", "sku"], name="shipment_line_once"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, stopped__range=(0, F("quantity"))), name="shipment_line_stopped"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity - self.stopped} x {self.sku}"


class Stop(models.Model):
    """A refund's wish to keep units from arriving; units by SKU."""

    class Status(models.TextChoices):
        ASKED = "ASKED"
        RECALLED = "RECALLED"  #: the carrier is asked, or brings it back
        STOPPED = "STOPPED"
        TOO_LATE = "TOO_LATE"

    refund_no = models.CharField(max_length=64, primary_key=True)
    order_no = models.CharField(max_length=32, db_index=True)
    units = models.JSONField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ASKED)
    asked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.refund_no} {self.status}"


class ReturnParcel(models.Model):
    """Units that a buyer sends back, fetched by the carrier; units by SKU."""

    class Status(models.TextChoices):
        EXPECTED = "EXPECTED"
        ON_ITS_WAY = "ON_ITS_WAY"
        RECEIVED = "RECEIVED"

    refund_no = models.CharField(max_length=64, primary_key=True)
    order_no = models.CharField(max_length=32, db_index=True)
    units = models.JSONField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.EXPECTED)
    tracking_no = models.CharField(max_length=64, blank=True)
    expected_at = models.DateTimeField()
    received_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.refund_no} {self.status}"
