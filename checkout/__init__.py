"""Checkout: the desk where a buyer's wish meets what several services know. It has no database and no messages.

It asks the services through their published functions (`queries` and `services`), in the one process that serves all of
them over HTTP, and decides nothing: what it has asked is an offer, and each service checks its own part again when the
order is placed.
"""
