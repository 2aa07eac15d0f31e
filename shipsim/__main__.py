"""`python -m shipsim --data DIR --listen unix:PATH`: one process, a line when it is ready, a clean stop on SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
import threading
from pathlib import Path

from shipsim.book import Book
from shipsim.partners import PACKING_MS, TRANSIT_MS, Partners
from shipsim.server import Shipping, listen

_CANNOT_START = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shipsim", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the book")
    parser.add_argument("--listen", required=True, metavar="ADDRESS", help="unix:PATH or HOST:PORT")
    parser.add_argument("--clock-offset-file", type=Path, help="the movable clock of the demo")
    parser.add_argument("--packing-ms", type=int, default=PACKING_MS, help="how long the warehouse takes")
    parser.add_argument("--transit-ms", type=int, default=TRANSIT_MS, help="how long a parcel is on its way")
    flags = parser.parse_args()
    try:
        book = Book(flags.data / "shipsim.sqlite3")
        partners = Partners(flags.packing_ms, flags.transit_ms)
        server = listen(flags.listen, Shipping(book, partners, flags.clock_offset_file))
    except (OSError, ValueError, OverflowError, sqlite3.Error) as error:
        print(f"shipsim: cannot start at {flags.listen} with {flags.data}: {error}", file=sys.stderr)
        return _CANNOT_START
    for number in (signal.SIGTERM, signal.SIGINT):
        # From a thread of its own: `shutdown` waits for the loop that this handler interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"ready shipsim={flags.listen}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    book.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
