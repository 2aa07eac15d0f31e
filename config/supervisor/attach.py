"""A command about a running shop finds it by its data directory alone; nobody has to export addresses."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from config import data_directory
from config.environment import environment
from config.errors import CannotStart
from config.supervisor import state
from config.supervisor.state import State


class NoShopRuns(CannotStart):
    """The command is about a shop that runs, and none does."""

    def __init__(self, data: Path) -> None:
        super().__init__(f"No shop runs in {data}: start it with `manage.py up --data {data}`.")


def running(data: Path) -> State:
    """The shop that runs in `data`. Raises: NoShopRuns."""
    shop = state.read(data)
    if shop is None or not shop.supervisor.is_alive():
        raise NoShopRuns(data)
    return shop


def attach(data: Path) -> None:
    """Begin this command again with the addresses of the shop that runs in `data`; what the environment says wins.

    Settings are read before a command knows its data directory, so it has to begin again. Nothing happens when the
    environment is complete.

    Raises: NoShopRuns: nor does the environment say that all servers are elsewhere.
    """
    try:
        shop = running(data)
    except NoShopRuns:
        if environment().has_servers_of_its_own:
            return
        raise
    addresses = {
        "MILLRACE_CLOCK_OFFSET_FILE": str(data_directory.clock_offset_file(data)),
        "MILLRACE_WEB_URL": shop.urls["shop"],
        "MILLRACE_PAYSIM_URL": shop.urls["cashier"],
        "MQ_NAMESRV_ADDR": shop.urls["namesrv"],
    }
    complete = {**addresses, **os.environ, "MILLRACE_DATA": str(data)}
    if complete != dict(os.environ):
        os.execve(sys.executable, [sys.executable, *sys.argv], complete)
