"""Where a server's settings come from, the later the stronger: the file, changes at run time, the flags."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from mq import properties_file
from mq.properties_file import ConfigError

if TYPE_CHECKING:
    from mq.broker.config import BrokerConfig
    from mq.namesrv.config import NameServerConfig
    from mq.security.runtime_settings import RuntimeSettings

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="RocketMQ's properties file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting; wins over the file"
    )
    parser.add_argument(
        "-p",
        "--printConfigItem",
        dest="print_settings",
        action="store_true",
        help="print every setting as it would be used, and start nothing",
    )
    if command != "namesrv":
        parser.add_argument("--data", type=Path, metavar="DIR", help="the store's directory (storePathRootDir)")
        parser.add_argument("--broker-port", type=int, metavar="PORT", help="listenPort, 10911; 0 takes a free one")
    if command != "broker":
        parser.add_argument("--namesrv-port", type=int, metavar="PORT", help="9876; 0 takes a free one")
    if command == "broker":
        parser.add_argument("-n", "--namesrv", metavar="NAMESRV", help="name servers: host:port;host:port")


def broker_config(args: argparse.Namespace) -> BrokerConfig:
    """Raises: ConfigError: a file or a setting that cannot be used."""
    from mq.broker.config import BrokerConfig
    from mq.broker.foreign_keys import sift
    from mq.broker.runtime_config import runtime_settings

    in_file, flags = _file(args), _flags(args)
    if args.data is not None:
        flags["storePathRootDir"] = str(args.data)
    if args.broker_port is not None:
        flags["listenPort"] = str(args.broker_port)
    root = (in_file | flags).get("storePathRootDir") or str(BrokerConfig.store_root)
    values = in_file | _changes(runtime_settings(Path(root))) | flags
    known, remarks = sift(values)
    config, warnings = properties_file.build(BrokerConfig, known)
    for warning in (*remarks, *warnings):
        logger.warning("%s", warning)
    return config


def name_server_config(args: argparse.Namespace) -> NameServerConfig:
    """Raises: ConfigError: a file or a setting that cannot be used."""
    from mq.namesrv.config import NameServerConfig
    from mq.namesrv.runtime_config import runtime_settings

    in_file, flags = _file(args), _flags(args)
    if args.namesrv_port is not None:
        flags["listenPort"] = str(args.namesrv_port)
    unchanged, _ = properties_file.build(NameServerConfig, in_file | flags)
    values = in_file | _changes(runtime_settings(unchanged)) | flags
    config, warnings = properties_file.build(NameServerConfig, values)
    for warning in warnings:
        logger.warning("%s", warning)
    return config


def with_changes(config: NameServerConfig) -> NameServerConfig:
    """The config with what was changed at run time."""
    from mq.namesrv.runtime_config import runtime_settings

    return properties_file.changed(config, _changes(runtime_settings(config)))


def print_all(args: argparse.Namespace) -> int:
    """Print `key=value` lines to stdout, secrets as asterisks; the exit status."""
    from mq.security.config import SECRET_KEYS

    config = name_server_config(args) if args.command == "namesrv" else broker_config(args)
    for key, value in properties_file.dump(config, SECRET_KEYS).items():
        print(f"{key}={value}")
    return 0


def _file(args: argparse.Namespace) -> dict[str, str]:
    return properties_file.load(args.config) if args.config else {}


def _flags(args: argparse.Namespace) -> dict[str, str]:
    values = {}
    for setting in args.set:
        key, separator, value = setting.partition("=")
        if not separator:
            raise ConfigError(f"--set {setting}: KEY=VALUE is expected, such as --set flushDiskType=ASYNC_FLUSH")
        values[key] = value
    return values


def _changes(settings: RuntimeSettings) -> dict[str, str]:
    changes = settings.load()
    for key, value in changes.items():
        logger.warning("%s=%s was set at run time and wins over the file: see %s", key, value, settings.path)
    return changes
