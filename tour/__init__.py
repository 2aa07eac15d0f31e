"""The guided tour: `manage.py demo` buys, pays, waits, crashes and checks, and says what it does while it does it.

It is a customer and a curious operator, nothing more: all it does, it does over HTTP, by the payment company's switch
for faults, by the shop's clock, and with `kill -9`; what it shows of messages it asks of the broker.
"""
