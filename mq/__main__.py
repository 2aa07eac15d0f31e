"""`python -m mq`: the broker, the name server and their tools.

Only what the command needs is imported: a broker is up in a quarter of a second, most of it Python itself.
"""

from __future__ import annotations

import argparse
import sys

from mq.cli import bench, serve, store


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    if words[:1] == ["admin"]:  # has commands, flags and exit statuses of its own
        from mq.admin.app import main as admin

        return admin(words[1:])
    parser = argparse.ArgumentParser(
        prog="python -m mq", description="A message queue that speaks RocketMQ's protocol."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve_commands = {
        "standalone": "name server and broker in one process",
        "namesrv": "a name server",
        "broker": "a broker",
    }
    for command, purpose in serve_commands.items():
        serve.add_arguments(commands.add_parser(command, help=purpose, description=purpose), command)
    purpose = "put a load on a broker and print what it took"
    bench.add_arguments(commands.add_parser("bench", help=purpose, description=purpose))
    purpose = "look at the files of a broker that is not running, or hand them over"
    store.add_arguments(commands.add_parser("store", help=purpose, description=purpose))
    commands.add_parser("admin", help="mqadmin's commands: look at a cluster and change it", add_help=False)

    args = parser.parse_args(words)
    run = {"bench": bench.run, "store": store.run}.get(args.command, serve.run)
    return run(args)


if __name__ == "__main__":
    sys.exit(main())
