"""Orders, their lines and their history.

How an order may change (`TRANSITIONS`; each change raises the version by one and is told as one event; an order that
the buyer's balance pays alone is paid as soon as it is confirmed):

    PLACED           -> PENDING_PAYMENT  OrderConfirmed
    PLACED           -> PAID             OrderPaid
    PLACED           -> CANCELED         OrderCanceled
    PENDING_PAYMENT  -> CLOSING          ClosePayment
    PENDING_PAYMENT  -> PAID             OrderPaid
    CLOSING          -> CLOSED           OrderClosed
    CLOSING          -> PAID             OrderPaid
    PAID             -> SHIPPED          OrderShipped
    PAID             -> PAID             OrderRefunded (a part)
    PAID             -> REFUNDED         OrderRefunded (the rest)
    SHIPPED          -> DELIVERED        OrderDelivered
    SHIPPED          -> SHIPPED          OrderRefunded (a part)
    SHIPPED          -> REFUNDED         OrderRefunded (the rest)
    DELIVERED        -> COMPLETED        OrderCompleted
    DELIVERED        -> DELIVERED        OrderRefunded (a part)
    DELIVERED        -> REFUNDED         OrderRefunded (the rest)
    COMPLETED        -> COMPLETED        OrderRefunded (a part)
    COMPLETED        -> REFUNDED         OrderRefunded (the rest)
"""

from __future__ import annotations

from collections.abc import Collection
from enum import IntFlag

from django.db import models
from django.db.models import F, Q

from common.errors import ShopError
from common.idempotency import StoredAnswer


class Status(models.TextChoices):
    PLACED = "PLACED"  #: a pre-order: not everybody has answered yet
    PENDING_PAYMENT = "PENDING_PAYMENT"
    CLOSING = "CLOSING"  #: too late or canceled; payments is asked whether money came after all
    PAID = "PAID"
    SHIPPED = "SHIPPED"
    DELIVERED = "DELIVERED"
    COMPLETED = "COMPLETED"  #: the buyer has said that the parcel came, or a week has passed
    CLOSED = "CLOSED"
    CANCELED = "CANCELED"
    REFUNDED = "REFUNDED"


#: From each status, where an order may go, and the event that tells of it. What is not in here does not happen.
TRANSITIONS: dict[Status, dict[Status, str]] = {
    Status.PLACED: {
        Status.PENDING_PAYMENT: "OrderConfirmed",
        Status.PAID: "OrderPaid",
        Status.CANCELED: "OrderCanceled",
    },
    Status.PENDING_PAYMENT: {Status.CLOSING: "ClosePayment", Status.PAID: "OrderPaid"},
    Status.CLOSING: {Status.CLOSED: "OrderClosed", Status.PAID: "OrderPaid"},
    Status.PAID: {
        Status.SHIPPED: "OrderShipped",
        Status.PAID: "OrderRefunded",
        Status.REFUNDED: "OrderRefunded",
    },
    Status.SHIPPED: {
        Status.DELIVERED: "OrderDelivered",
        Status.SHIPPED: "OrderRefunded",
        Status.REFUNDED: "OrderRefunded",
    },
    Status.DELIVERED: {
        Status.COMPLETED: "OrderCompleted",
        Status.DELIVERED: "OrderRefunded",
        Status.REFUNDED: "OrderRefunded",
    },
    Status.COMPLETED: {Status.COMPLETED: "OrderRefunded", Status.REFUNDED: "OrderRefunded"},
    Status.CLOSED: {},
    Status.CANCELED: {},
    Status.REFUNDED: {},
}


#: The buyer has paid and keeps at least a part.
BOUGHT = frozenset({Status.PAID, Status.SHIPPED, Status.DELIVERED, Status.COMPLETED})


class InvalidTransition(ShopError):
    """The order's status does not allow what is asked."""

    code = "INVALID_TRANSITION"
    http_status = 409


class Reason(models.TextChoices):
    """Why an order ended without goods."""

    OUT_OF_STOCK = "OUT_OF_STOCK"
    COUPON_REFUSED = "COUPON_REFUSED"
    BALANCE_REFUSED = "BALANCE_REFUSED"
    NOT_CONFIRMED = "NOT_CONFIRMED"  #: somebody whose answer it needs kept silent
    PAYMENT_TIMEOUT = "PAYMENT_TIMEOUT"
    BUYER_CANCELED = "BUYER_CANCELED"


class Party(IntFlag):
    """Who has to agree before an order is confirmed; each answers by a message of its own."""

    STOCK = 1
    COUPON = 2
    BALANCE = 4


class OrderQuerySet(models.QuerySet["Order"]):
    def visible_to(self, buyer_id: int) -> OrderQuerySet:
        """A buyer's own orders, without those that the buyer sees as placed only."""
        mine = self.filter(buyer_id=buyer_id).exclude(status=Status.PLACED)
        return mine.exclude(status=Status.PENDING_PAYMENT, payable_at=None)

    def payable_later(self, order_nos: Collection[str]) -> OrderQuerySet:
        """Those of them that payments had not opened, locked; in the order of their numbers, as everybody locks."""
        return self.filter(order_no__in=order_nos, payable_at=None).order_by("order_no").select_for_update()

    def overdue(self, before: object) -> OrderQuerySet:
        return self.filter(status=Status.PENDING_PAYMENT, expires_at__lt=before)

    def silent(self, placed_before: object) -> OrderQuerySet:
        """Pre-orders that somebody should have answered long ago."""
        return self.filter(status=Status.PLACED, placed_at__lt=placed_before)

    def receipt_overdue(self, before: object) -> OrderQuerySet:
        return self.filter(status=Status.DELIVERED, receipt_due_at__lt=before)


class Order(models.Model):
    """One order. `status` and `version` are only ever changed together, by `services.changes`."""

    order_no = models.CharField(max_length=32, primary_key=True)
    buyer_id = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status.choices)
    #: Counts the order's changes; the number of its newest event.
    version = models.PositiveIntegerField()
    #: Who has not agreed yet, as a set of `Party`.
    awaiting = models.PositiveSmallIntegerField(default=0, db_default=0)
    #: What the order costs: its lines at list price, less what coupon and red packet take off, plus freight.
    total_cents = models.BigIntegerField()
    freight_cents = models.BigIntegerField(default=0, db_default=0)
    coupon_no = models.CharField(max_length=32, blank=True, default="", db_default="")
    coupon_cents = models.BigIntegerField(default=0, db_default=0)
    red_packet_no = models.CharField(max_length=32, blank=True, default="", db_default="")
    red_packet_cents = models.BigIntegerField(default=0, db_default=0)
    #: The part of the total that the buyer's balance pays.
    balance_cents = models.BigIntegerField(default=0, db_default=0)
    currency = models.CharField(max_length=3)
    #: Why it ended or is ending without goods (a Reason), and what a program may want to know about it.
    reason = models.CharField(max_length=32, blank=True)
    reason_details = models.JSONField(null=True)
    payment_no = models.CharField(max_length=64, blank=True)
    #: As they were when it was placed: an `orders.messages.Address`, and what the invoice says, if one is wanted.
    address = models.JSONField(null=True)
    invoice = models.JSONField(null=True)
    placed_at = models.DateTimeField()
    confirmed_at = models.DateTimeField(null=True)
    #: The buyer may pay until then; set when the order is confirmed.
    expires_at = models.DateTimeField(null=True)
    #: Payments said that it can take the money; it hears of the order only when the order is confirmed.
    payable_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    tracking_no = models.CharField(max_length=64, blank=True, db_default="")
    shipped_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    #: Until then the buyer may confirm the receipt or send something back; set when the parcel has arrived.
    receipt_due_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(total_cents__gt=0), name="order_total_positive"),
            models.CheckConstraint(
                condition=Q(
                    freight_cents__gte=0,
                    coupon_cents__gte=0,
                    red_packet_cents__gte=0,
                    balance_cents__range=(0, F("total_cents")),
                ),
                name="order_parts_positive",
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="order_status_known"),
            models.CheckConstraint(condition=Q(version__gte=1), name="order_version_from_one"),
        ]
        indexes = [
            models.Index("buyer_id", F("placed_at").desc(), name="order_of_buyer"),
            models.Index(fields=["expires_at"], name="order_unpaid", condition=Q(status="PENDING_PAYMENT")),
            models.Index(fields=["placed_at"], name="order_unanswered", condition=Q(status="PLACED")),
            models.Index(
                fields=["buyer_id"],
                name="order_open_of_buyer",
                condition=Q(status__in=["PLACED", "PENDING_PAYMENT", "CLOSING"]),
            ),
            models.Index(fields=["receipt_due_at"], name="order_unconfirmed", condition=Q(status="DELIVERED")),
        ]

    def __str__(self) -> str:
        return f"{self.order_no} {self.status} v{self.version}"

    @property
    def discount_cents(self) -> int:
        return self.coupon_cents + self.red_packet_cents

    @property
    def coupons(self) -> tuple[str, ...]:
        """Coupon and red packet, as far as it has them."""
        return tuple(one for one in (self.coupon_no, self.red_packet_no) if one)

    @property
    def payable_cents(self) -> int:
        """What the payment company is to take."""
        return self.total_cents - self.balance_cents

    @property
    def shown_status(self) -> str:
        """What the buyer is told: an order asks to be paid once it can be, however far behind payments is."""
        is_early = self.status == Status.PENDING_PAYMENT and self.payable_at is None
        return Status.PLACED if is_early else self.status


class OrderLine(models.Model):
    """One article of an order, with title and price as they were when it was placed."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines", db_index=False)
    sku = models.CharField(max_length=64)
    title = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    unit_price_cents = models.BigIntegerField()
    #: The line's share of the discount, and of what the balance pays: to the cent, so that any line can be given back.
    discount_cents = models.BigIntegerField(default=0, db_default=0)
    balance_cents = models.BigIntegerField(default=0, db_default=0)
    #: Units in refund cases that are not rejected, and their shares of price and balance: the rest may be asked for.
    claimed_quantity = models.PositiveIntegerField(default=0, db_default=0)
    claimed_cents = models.BigIntegerField(default=0, db_default=0)
    claimed_balance_cents = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "sku"], name="order_line_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0, unit_price_cents__gte=0), name="order_line_positive"),
            models.CheckConstraint(
                condition=Q(
                    discount_cents__range=(0, F("quantity") * F("unit_price_cents")),
                    balance_cents__range=(0, F("quantity") * F("unit_price_cents") - F("discount_cents")),
                ),
                name="order_line_shares",
            ),
            models.CheckConstraint(
                condition=Q(
                    claimed_quantity__range=(0, F("quantity")),
                    claimed_cents__range=(0, F("quantity") * F("unit_price_cents") - F("discount_cents")),
                    claimed_balance_cents__range=(0, F("balance_cents")),
                ),
                name="order_line_claims",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"

    @property
    def price_cents(self) -> int:
        """What the whole line costs, after the discount."""
        return self.quantity * self.unit_price_cents - self.discount_cents


class OrderEvent(models.Model):
    """One change of an order: versions are 1..n, without gap or repetition."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="events", db_index=False)
    version = models.PositiveIntegerField()
    tag = models.CharField(max_length=32)
    status = models.CharField(max_length=16, choices=Status.choices)
    happened_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["order", "version"], name="order_event_once")]

    def __str__(self) -> str:
        return f"{self.order_id} v{self.version} {self.tag}"


class OrderRefund(models.Model):
    """Money that payments gave back for an order, in full, in part, or because it came too late."""

    refund_no = models.CharField(max_length=64, primary_key=True)
    order = models.ForeignKey(Order, models.CASCADE, related_name="refunds")
    #: Begins with `payments.messages.LATE` or `DUPLICATE` if no order asked for it.
    refund_key = models.CharField(max_length=128)
    amount_cents = models.BigIntegerField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(amount_cents__gt=0), name="refund_positive")]

    def __str__(self) -> str:
        return f"{self.refund_no} {self.amount_cents}"


class RefundCase(models.Model):
    """A buyer wants some units back into money: from the question to the money, one row and one refund number.

    STOPPING           -> REFUNDING           the goods stayed, or came back before they were delivered
    STOPPING           -> AWAITING_APPROVAL   too late: they will arrive
    AWAITING_APPROVAL  -> AWAITING_RETURN     staff agreed
    AWAITING_APPROVAL  -> REJECTED            staff did not
    AWAITING_RETURN    -> REFUNDING           the goods are back
    REFUNDING          -> SUCCEEDED, FAILED   what payments says
    """

    class Status(models.TextChoices):
        STOPPING = "STOPPING"  #: fulfillment is asked to keep the goods, or to call the parcel back
        AWAITING_APPROVAL = "AWAITING_APPROVAL"
        AWAITING_RETURN = "AWAITING_RETURN"
        REFUNDING = "REFUNDING"  #: payments is asked for the money
        SUCCEEDED = "SUCCEEDED"
        REJECTED = "REJECTED"
        FAILED = "FAILED"  #: the gateway said no for good: a person has to look

    #: Also the number at payments and at the gateway, at every attempt.
    refund_no = models.CharField(max_length=32, primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT, related_name="refund_cases")
    status = models.CharField(max_length=20, choices=Status.choices)
    #: Price of the units and, if the whole order never left, its freight; of it, what the balance had paid.
    amount_cents = models.BigIntegerField()
    balance_cents = models.BigIntegerField(default=0, db_default=0)
    freight_cents = models.BigIntegerField(default=0, db_default=0)
    freight_balance_cents = models.BigIntegerField(default=0, db_default=0)
    #: In the buyer's words.
    reason = models.CharField(max_length=200, blank=True)
    #: Who of the staff agreed or did not, and why not.
    decided_by = models.CharField(max_length=64, blank=True)
    decision = models.CharField(max_length=200, blank=True)
    requested_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    balance_cents__range=(0, F("amount_cents")),
                    freight_cents__range=(0, F("amount_cents")),
                    freight_balance_cents__range=(0, F("freight_cents")),
                ),
                name="refund_case_amount",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "STOPPING",
                        "AWAITING_APPROVAL",
                        "AWAITING_RETURN",
                        "REFUNDING",
                        "SUCCEEDED",
                        "REJECTED",
                        "FAILED",
                    ]
                ),
                name="refund_case_status_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["requested_at"],
                name="refund_case_open",
                condition=~Q(status__in=["SUCCEEDED", "REJECTED"]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.refund_no} {self.status}"

    @property
    def payable_cents(self) -> int:
        """What the payment company gives back; the rest returns to the balance."""
        return self.amount_cents - self.balance_cents


class RefundCaseLine(models.Model):
    """Units of one article in a case, and what the buyer had paid for them; of it, what the balance had paid."""

    case = models.ForeignKey(RefundCase, models.CASCADE, related_name="lines", db_index=False)
    sku = models.CharField(max_length=64)
    quantity = models.PositiveIntegerField()
    amount_cents = models.BigIntegerField()
    balance_cents = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["case", "sku"], name="refund_case_line_once"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, balance_cents__range=(0, F("amount_cents"))),
                name="refund_case_line_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.sku}"


class CatalogItem(models.Model):
    """Orders' own copy of an article, kept by `SkuChanged`: placing an order asks nobody."""

    sku = models.CharField(max_length=64, primary_key=True)
    version = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    price_cents = models.BigIntegerField()
    on_sale = models.BooleanField()
    category = models.CharField(max_length=64, blank=True, default="", db_default="")
    weight_grams = models.PositiveIntegerField(default=0, db_default=0)
    #: How many units one buyer may have in orders that live; None: any number.
    per_buyer_limit = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return self.sku


class PlacingAnswer(StoredAnswer):
    """What `POST /api/orders` answered to a buyer's Idempotency-Key."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["buyer_id", "key"], name="placing_answer_once")]
        indexes = [models.Index(fields=["answered_at"], name="placing_answer_age")]


class RefundAnswer(StoredAnswer):
    """What `POST /api/orders/{order_no}/refunds` answered to a buyer's Idempotency-Key."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["buyer_id", "key"], name="refund_answer_once")]
        indexes = [models.Index(fields=["answered_at"], name="refund_answer_age")]
