"""What is in the shop when it opens: a few articles with stock, a few buyers with passwords nobody else has.

Layout: `logins.json` in the data directory (0600), an object of passwords by user name; random, made with the buyers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from config.data_directory import used
from config.errors import DataDirectoryUnusable

BUYERS = ("alice", "bob", "carol")


class Article(NamedTuple):
    sku: str
    title: str
    price_cents: int
    initial: int
    category: str = ""
    weight_grams: int = 0
    per_buyer_limit: int | None = None


ARTICLES = (
    Article("TEA-LONGJING-100", "Longjing green tea, 100 g", 8_800, 500, "tea", 130),
    Article("TEA-PUER-357", "Pu'er tea cake, 357 g", 26_800, 200, "tea", 420),
    Article("TEA-JASMINE-50", "Jasmine tea, 50 g", 2_990, 1_000, "tea", 70),
    Article("TEA-OOLONG-75", "Iron Goddess oolong, 75 g", 5_650, 400, "tea", 100),
    Article("TEAPOT-YIXING", "Yixing clay teapot, 180 ml", 45_900, 30, "ware", 350),
    Article("GAIWAN-CELADON", "Celadon gaiwan", 12_900, 80, "ware", 300),
    Article("CUP-CELADON", "Celadon cup", 2_450, 600, "ware", 120),
    Article("TRAY-BAMBOO", "Bamboo tea tray", 15_900, 60, "ware", 1_800),
    Article("KETTLE-IRON", "Cast-iron kettle, 1.2 l", 68_000, 25, "ware", 2_300, per_buyer_limit=2),
    Article("STRAINER-SILVER", "Silver tea strainer", 19_990, 40, "ware", 60),
    Article("SCROLL-PLUM", "Plum blossom scroll, signed, the only one", 388_000, 1, "art", 900),
    Article("TIN-TEA-SMALL", "Tea tin, small", 1_280, 2_000, "ware", 90),
)

#: Where every sample buyer lives, and what the shop gives each as a welcome.
HOME = {
    "recipient": "Lin 林",
    "phone": "+86 21 5555 0100",
    "region": "CN-SH",
    "city": "Shanghai",
    "street": "1 Tea Street",
    "is_default": True,
}
WELCOME_CENTS = 10_000
#: What can be grabbed, and what a large order earns.
COUPON_TEMPLATES: tuple[dict[str, Any], ...] = (
    {"template_no": "TEA-10", "title": "10 % off tea", "kind": "PERCENTAGE", "percent_off": 10, "category": "tea"},
    {
        "template_no": "TWENTY-OFF-200",
        "title": "20 yuan off 200",
        "kind": "THRESHOLD",
        "threshold_cents": 20_000,
        "off_cents": 2_000,
    },
    {"template_no": "RED-PACKET-5", "title": "Red packet, 5 yuan", "kind": "RED_PACKET", "off_cents": 500},
)
REWARD: dict[str, Any] = {
    "template_no": "THANKS-8",
    "title": "Thank you: 8 yuan",
    "kind": "RED_PACKET",
    "off_cents": 800,
    "reward_from_cents": 50_000,
}


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
