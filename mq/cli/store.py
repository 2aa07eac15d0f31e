"""`store check` and `store export`: tools for the folder of a broker that is not running."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mq import properties_file
from mq.errors import CorruptRecord, MQError
from mq.message import Host
from mq.properties_file import ConfigError

if TYPE_CHECKING:
    from mq.broker.config import BrokerConfig
    from mq.store.check import Report
    from mq.store.config import StoreConfig
    from mq.store.export import Exported

#: Exit statuses: nothing wrong; damage found; could not be looked at.
SOUND: Final = 0
DAMAGED: Final = 1
UNREADABLE: Final = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="name damage by file and offset; writes nothing")
    export = actions.add_parser("export", help="copy a store, ready for Apache RocketMQ or another broker of ours")
    for action in (check, export):
        action.add_argument("dir", type=Path, metavar="DIR", help="the store's directory (storePathRootDir)")
        action.add_argument("-c", "--config", type=Path, metavar="FILE", help="its broker's properties file")
        action.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting of that file")
        action.add_argument("--json", action="store_true", help="one line of JSON")
    export.add_argument("dest", type=Path, metavar="DEST", help="a new folder; broker.conf in it says what must stay")


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 sound, 1 damage was found, 3 it could not be looked at."""
    try:
        return _check(args) if args.action == "check" else _export(args)
    except CorruptRecord as error:
        print(f"mq store: {error}", file=sys.stderr)
        return DAMAGED
    except (MQError, OSError) as error:
        print(f"mq store: {error}", file=sys.stderr)
        return UNREADABLE


def _check(args: argparse.Namespace) -> int:
    from mq.store.check import check_store

    report = check_store(_store_config(_config(args)))
    print(json.dumps(report.to_dict())) if args.json else _print(report)
    return DAMAGED if report.damage_count else SOUND


def _export(args: argparse.Namespace) -> int:
    from mq.store.export import export_store

    config = _config(args)
    exported = export_store(_store_config(config), args.dest)
    settings = _settings(config, exported, args.dest)
    (args.dest / "broker.conf").write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    if args.json:
        print(json.dumps(exported.report.to_dict() | {"clean": exported.is_clean, "settings": settings}))
    else:
        print(f"{args.dir} -> {args.dest}: {exported.recovery}")
        _print(exported.report)
        print(f"start the next broker with {args.dest / 'broker.conf'}: these settings must not change")
    return DAMAGED if exported.report.damage_count else SOUND


def _config(args: argparse.Namespace) -> BrokerConfig:
    """The broker's configuration; file sizes that it does not give are taken from the files."""
    from mq.broker.config import BrokerConfig
    from mq.store.geometry import file_sizes

    values = properties_file.load(args.config) if args.config else {}
    for setting in args.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}: KEY=VALUE is expected, such as --set maxIndexNum=20000000")
        values[key] = value
    values = file_sizes(args.dir) | values | {"storePathRootDir": str(args.dir)}
    config, _warnings = properties_file.build(BrokerConfig, values)
    return config


def _store_config(config: BrokerConfig) -> StoreConfig:
    return config.store_config(Host(config.advertised_address, config.listen_port))


def _settings(config: BrokerConfig, exported: Exported, dest: Path) -> dict[str, str]:
    """What the next broker must be told: sizes are not stored, and message ids name the address."""
    if exported.store_host is not None:
        host = exported.store_host
        config = replace(config, advertised_address=host.address, listen_port=host.port)
    return {
        "brokerClusterName": config.cluster_name,
        "brokerName": config.broker_name,
        "brokerId": str(config.broker_id),
        "brokerIP1": config.advertised_address,
        "listenPort": str(config.listen_port),
        "storePathRootDir": str(dest.resolve()),
        "storePathCommitLog": str(dest.resolve() / "commitlog"),
        "mappedFileSizeCommitLog": str(config.commit_log_file_bytes),
        "mappedFileSizeConsumeQueue": str(config.consume_queue_file_bytes),
        "mappedFileSizeTimerLog": str(config.timer_log_file_bytes),
        "maxHashSlotNum": str(config.index_slot_count),
        "maxIndexNum": str(config.index_entry_count),
        "messageDelayLevel": config.delay_levels,
        "timerPrecisionMs": str(config.timer_precision_ms),
    }


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("part", "files", "items", "damage", title=str(report.root))
    for part in report.parts:
        table.add_row(part.name, str(part.file_count), str(part.items), str(part.damage_count or "none"))
    console.print(table)
    for part in report.parts:
        for note in part.notes:
            console.print(f"{part.name}: {note}", markup=False, soft_wrap=True)
        for found in part.damage:
            where = f"{found.path}" + ("" if found.offset is None else f" at byte {found.offset}")
            console.print(f"DAMAGE {where}: {found.what}", markup=False, soft_wrap=True)
        if part.damage_count > len(part.damage):
            console.print(f"DAMAGE {part.name}: {part.damage_count - len(part.damage)} more places")
