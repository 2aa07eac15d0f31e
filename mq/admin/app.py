"""The command line: find the command, run it, and turn whatever went wrong into one sentence and an exit status.

0 done, 1 the cluster said no, 2 the command line is wrong or asks for what does not exist here, 3 nobody answered.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NoReturn, TextIO

from mq import event_loop
from mq.admin import not_here, report
from mq.admin.command import Command, Family, Session, UsageError
from mq.client import Admin, ClientSettings
from mq.errors import ConnectionLost, MQError, RequestTimeout
from mq.remoting.tls import TlsSettings

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 3
#: mqadmin's patience.
_TIMEOUT_S: Final = 5.0


def families() -> list[Family]:
    from mq.admin import (
        brokers,
        clusters,
        connections,
        consumers,
        exporting,
        messages,
        name_servers,
        offsets,
        queries,
        sending,
        statistics,
        topics,
    )

    modules = (
        *(topics, clusters, brokers, name_servers, consumers, connections),
        *(offsets, queries, messages, sending, statistics, exporting),
    )
    return [module.COMMANDS for module in modules]


def main(arguments: Sequence[str], out: TextIO | None = None, err: TextIO | None = None) -> int:
    """Run one command; its exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    try:
        return _run(arguments, out)
    except UsageError as error:
        return _refuse(error, USAGE, err)
    except (ConnectionLost, RequestTimeout) as error:
        return _refuse(error, UNREACHABLE, err)
    except MQError as error:
        nobody_answered = isinstance(error.__cause__, ConnectionLost | RequestTimeout)
        return _refuse(error, UNREACHABLE if nobody_answered else FAILED, err)


def _run(arguments: Sequence[str], out: TextIO) -> int:
    commands = {command.name: command for family in families() for command in family.commands}
    name = arguments[0] if arguments else "help"
    if name in ("help", "-h", "--help") and len(arguments) < 2:
        report.show([_overview(family) for family in families()], out, as_json=False)
        return DONE
    if name == "help":
        name, arguments = arguments[1], [arguments[1], "--help"]
    if name in not_here.SENTENCES:
        raise UsageError(f"{name}: {not_here.SENTENCES[name]}")
    if name not in commands:
        raise UsageError(f"there is no command {name!r}; `python -m mq admin help` lists them")
    parser = _parser(commands[name])
    if "-h" in arguments or "--help" in arguments:
        print(parser.format_help(), file=out)
        return DONE
    args = parser.parse_args(_joined(commands[name], arguments[1:]))
    event_loop.run(_ask(commands[name], args, out))
    return DONE


async def _ask(command: Command, args: argparse.Namespace, out: TextIO) -> None:
    def show(answer: report.Report) -> None:
        report.show(answer, out, as_json=args.json)

    try:
        # The account is the environment's, and no flag's: every user of a machine sees its command lines.
        settings = ClientSettings(
            request_timeout_s=_TIMEOUT_S,
            tls=TlsSettings(trust_cert_path=args.tlsTrustCert) if args.tls or args.tlsTrustCert else None,
        )
        admin = Admin(namesrv=args.namesrvAddr, settings=settings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    async with admin:
        show(await command.run(Session(admin, args, show)))


def _joined(command: Command, words: Sequence[str]) -> list[str]:
    """With values that begin with a dash joined to their flags (`-a -message.type`), so that they are no flags."""
    long_names = {
        name: flag.long for flag in command.flags if flag.read for name in (f"-{flag.short}", f"--{flag.long}")
    }
    is_flag = {f"-{flag.short}" for flag in command.flags} | {f"--{flag.long}" for flag in command.flags}
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in long_names and word.startswith("-") and word not in is_flag:
            joined[-1] = f"--{long_names[joined[-1]]}={word}"
        else:
            joined.append(word)
    return joined


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.rpartition(' ')[2]}: {message}")


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"python -m mq admin {command.name}", description=command.purpose, allow_abbrev=False)
    parser.add_argument("-n", "--namesrvAddr", help="host:port;host:port (MQ_NAMESRV_ADDR, 127.0.0.1:9876)")
    parser.add_argument("--tls", action="store_true", help="speak TLS, and trust whom the system trusts")
    parser.add_argument("--tlsTrustCert", metavar="FILE", help="speak TLS, and trust this PEM file")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    for flag in command.flags:
        flag.add_to(parser)
    return parser


def _overview(family: Family) -> report.Table:
    return report.Table((family.title, ""), [(command.name, command.purpose) for command in family.commands])


def _refuse(error: Exception, status: int, err: TextIO) -> int:
    print(f"mq admin: {error}", file=err)
    return status
