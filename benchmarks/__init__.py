"""`make bench`: the bundled broker and Apache RocketMQ 5.3.3 in turn on one machine, and the page that says so.

From the outside in: `__main__` (options) plays `rounds` of the `rows` on two `sides` under loads from `java` and `own`,
keeps what came out in `results`, and `page` and `svg` write docs/performance.md. `starts` and `growth` hold the rows
that are about starting and about size.
"""
