"""shipsim: the warehouse and the carrier, two third parties in one small process that shares no code with the shop.

Both are slow as such people are (half an hour to pick and pack, a day on the road, by a clock that the demo moves), and
on demand they fail, lose their answers or let one wait; see `faults`. Asking again is always safe: the answer is told
from the state of the one order or parcel that a reference names.
"""
