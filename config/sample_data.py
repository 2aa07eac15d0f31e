"""What is in the shop when it opens: a few articles with stock, a few buyers with passwords nobody else has.

Layout: `logins.json` in the data directory (0600), an object of passwords by user name; random, made with the buyers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from config.data_directory import used
from config.errors import DataDirectoryUnusable

BUYERS = ("alice", "bob", "carol")


class Article(NamedTuple):
    sku: str
    title: str
    price_cents: int
    initial: int


ARTICLES = (
    Article("TEA-LONGJING-100", "Longjing green tea, 100 g", 8_800, 500),
    Article("TEA-PUER-357", "Pu'er tea cake, 357 g", 26_800, 200),
    Article("TEA-JASMINE-50", "Jasmine tea, 50 g", 2_990, 1_000),
    Article("TEA-OOLONG-75", "Iron Goddess oolong, 75 g", 5_650, 400),
    Article("TEAPOT-YIXING", "Yixing clay teapot, 180 ml", 45_900, 30),
    Article("GAIWAN-CELADON", "Celadon gaiwan", 12_900, 80),
    Article("CUP-CELADON", "Celadon cup", 2_450, 600),
    Article("TRAY-BAMBOO", "Bamboo tea tray", 15_900, 60),
    Article("KETTLE-IRON", "Cast-iron kettle, 1.2 l", 68_000, 25),
    Article("STRAINER-SILVER", "Silver tea strainer", 19_990, 40),
    Article("SCROLL-PLUM", "Plum blossom scroll, signed, the only one", 388_000, 1),
    Article("TIN-TEA-SMALL", "Tea tin, small", 1_280, 2_000),
)


def logins_file(data: Path) -> Path:
    return data / "logins.json"


def logins(data: Path) -> dict[str, str]:
    """Passwords by user name, as far as they were made.

    Raises: DataDirectoryUnusable.
    """
    path = logins_file(data)
    try:
        with used(data):
            return msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    except msgspec.MsgspecError as error:
        raise DataDirectoryUnusable(f"{path} is damaged: remove it, and the buyers get new passwords.") from error


def remember_logins(data: Path, known: dict[str, str]) -> None:
    """Raises: OSError: the data directory cannot be written."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = logins_file(data)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(known, indent=2))
    fresh.replace(path)
