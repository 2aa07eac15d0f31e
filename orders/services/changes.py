"""The one way an order changes: decide on what was read, compare-and-set, decide again if somebody was faster.

A decision is a pure function of an order: it returns the step to take, if any. `decide_and_move` takes a batch of them
in one SELECT and one UPDATE (`changes.sql`, which names the expected status and version of every order); whoever lost a
race is read and decided again. So of two messages that arrive at the same moment one moves the order, and the other one
is decided on the order as it then is. Every change is a row of the order's history and carries the next version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from common import sql
from common.errors import NotFound, TryAgain
from messaging.events import Outgoing
from orders.models import TRANSITIONS, InvalidTransition, Order, Status

_MOVE = sql.Statement(Path(__file__).with_name("changes.sql"))
#: How often one message may lose the race for its order; an order changes a handful of times in its whole life.
_ROUND_COUNT_MAX = 20


class ConcurrentChange(TryAgain):
    """The order changed again and again while this change was decided; trying once more is safe."""


@dataclass(frozen=True)
class Step:
    """What a message does to an order: the status it moves to (None: it stays), what is then said, what is written.

    A step that stays and writes is a note: compared and set like a move, but no event of the order's.
    """

    to: Status | None = None
    say: Sequence[Outgoing] = ()
    write: dict[str, Any] = field(default_factory=dict)

    @property
    def changes_something(self) -> bool:
        return self.to is not None or bool(self.write)


#: The message changes nothing: it is late, or a repetition.
STAY = Step()

Decision = Callable[[Order], Step]


def decide_and_move(
    decisions: Sequence[tuple[str, Decision]], *, now: datetime, with_lines: bool = False
) -> list[list[Outgoing]]:
    """Take (order number, decision) in their order and return what each of them says. Needs a transaction.

    Decisions that look at the lines of their orders say so (`with_lines`): all are read in one more statement.

    Raises: NotFound: no such order; InvalidTransition: a decision that `TRANSITIONS` does not have; ConcurrentChange.
    """
    said: list[list[Outgoing]] = [[] for _ in decisions]
    waiting = list(range(len(decisions)))
    for _ in range(_ROUND_COUNT_MAX):
        if not waiting:
            return said
        turn = _first_of_each_order(waiting, decisions)
        steps = _decide([decisions[place] for place in turn], with_lines=with_lines)
        moved = move([(order, step) for order, step in steps if step.changes_something], now=now)
        done = set()
        for place, (order, step) in zip(turn, steps, strict=True):
            if not step.changes_something or order.order_no in moved:
                said[place] = list(step.say)
                done.add(place)
        waiting = [place for place in waiting if place not in done]
    raise ConcurrentChange(f"order {decisions[waiting[0]][0]} kept changing")


def move(steps: Iterable[tuple[Order, Step]], *, now: datetime) -> set[str]:
    """Compare and set, once; return the numbers of the orders that moved, or of which something was noted.

    Raises: InvalidTransition: a step that `TRANSITIONS` does not have.
    """
    rows = [_row(order, step) for order, step in steps]
    if not rows:
        return set()
    return {order_no for (order_no,) in _MOVE.run("orders", steps=sql.rows(rows), now=now)}


def _first_of_each_order(waiting: list[int], decisions: Sequence[tuple[str, Decision]]) -> list[int]:
    """What can be decided now: of several messages about one order only the first, the others see what it did."""
    first: dict[str, int] = {}
    for place in waiting:
        first.setdefault(decisions[place][0], place)
    return list(first.values())


def _decide(decisions: Sequence[tuple[str, Decision]], *, with_lines: bool) -> list[tuple[Order, Step]]:
    orders = Order.objects.prefetch_related("lines") if with_lines else Order.objects.all()
    found = orders.in_bulk([order_no for order_no, _ in decisions])
    missing = [order_no for order_no, _ in decisions if order_no not in found]
    if missing:
        raise NotFound(f"There is no order {missing[0]}.")
    return [(found[order_no], decide(found[order_no])) for order_no, decide in decisions]


def _row(order: Order, step: Step) -> dict[str, Any]:
    tag = None if step.to is None else TRANSITIONS[Status(order.status)].get(step.to)
    if step.to is not None and tag is None:
        raise InvalidTransition(f"An order that is {order.status} cannot become {step.to}.", status=order.status)
    return {
        "order_no": order.order_no,
        "from_status": order.status,
        "from_version": order.version,
        "from_awaiting": order.awaiting,
        "to_status": step.to,
        "tag": tag,
        **step.write,
    }
