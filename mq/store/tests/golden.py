"""Golden scripts: a few commands against a small store, then the exact output, as text that reads like documentation.

A script is blocks, separated by blank lines: comments and commands, `---`, the output. All blocks of a script work on
one store with 512-byte log files, 5 entries to a queue file and 7 to an index file; its clock moves by `clock` only.
`UPDATE_SCRIPTS=1 pytest mq/store` writes the outputs anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from mq.clock import ManualClock
from mq.errors import MQError
from mq.message import Host, properties
from mq.message.record import RecordFields, decode
from mq.store.config import StoreConfig
from mq.store.consume_queue import ENTRY
from mq.store.disk import Disk
from mq.store.scan import Scan
from mq.store.store import MessageStore

BORN_HOST = Host("127.0.0.1", 50000)


class SmallDisk(Disk):
    """A disk whose fullness the script decides."""

    used = 10

    def used_percent(self, folder: Path) -> int:
        return self.used


class Script:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.disk = SmallDisk()
        self.store: MessageStore | None = None
        self.lines: list[str] = []

    # ---- commands

    def open(self) -> None:
        config = StoreConfig(
            self.root,
            commit_log_file_bytes=512,
            consume_queue_file_bytes=100,
            index_slot_count=10,
            index_entry_count=8,
            max_message_bytes=400,
            delete_hours=(),
        )
        self.store = MessageStore(config, self.clock, disk=self.disk)
        try:
            self.say(str(self.store.open()))
        except MQError as error:
            self.store = None
            self.say(f"{type(error).__name__}: {error}")

    def append(self, topic: str, queue: str = "0", body: str = "", tag: str = "", keys: str = "", unique: str = "",
               level: str = "", sys_flag: str = "0", count: str = "1", durable: str = "yes") -> None:  # fmt: skip
        names = {"TAGS": tag, "KEYS": keys, "UNIQ_KEY": unique, "DELAY": level}
        text = properties.encode({name: value for name, value in names.items() if value})
        data = b"x" * int(body[:-1]) if body[-1:] == "B" and body[:-1].isdigit() else body.encode()
        fields = RecordFields(topic, int(queue), data, text, int(sys_flag), 0, self.clock.now_ms(), BORN_HOST)
        for _ in range(int(count)):
            self.the_store.append(fields)
        if durable == "yes":
            self.the_store.commit()

    def batch(self, topic: str, *sizes: str) -> None:
        self.the_store.append_batch(
            [RecordFields(topic, 0, b"x" * int(size[:-1]), b"", 0, 0, 0, BORN_HOST) for size in sizes]
        )
        self.the_store.commit()

    def commit(self) -> None:
        self.the_store.commit()

    def dump(self) -> None:
        """Every record in the log's files."""
        for path in sorted((self.root / "commitlog").iterdir()):
            data, start = path.read_bytes(), int(path.name)
            scan = Scan(data, start, start)
            for commit_log_offset, size, topic, queue_id, queue_offset, *_ in scan:
                self.say(f"{commit_log_offset:<5}{topic.decode()}/{queue_id} #{queue_offset} {size}B")
            if scan.is_full:
                at = scan.records_end - start
                self.say(f"{scan.records_end:<5}blank {len(data) - at}B")
            elif scan.damage:
                self.say(f"{scan.position:<5}damage: {scan.damage}")

    def queue(self, topic: str, queue: str = "0") -> None:
        """The entries in a queue's files, padding and all."""
        for path in sorted((self.root / "consumequeue" / topic / queue).iterdir()):
            for number, (offset, size, code) in enumerate(ENTRY.iter_unpack(path.read_bytes()), int(path.name) // 20):
                if size:
                    self.say(f"#{number:<3}" + ("padding" if size == 0x7FFFFFFF else f"{offset} {size}B {code}"))

    def get(self, topic: str, queue: str = "0", offset: str = "0", count: str = "32", bytes_: str = "1000000",
            tags: str = "") -> None:  # fmt: skip
        codes = frozenset(properties.tag_code(tag) for tag in tags.split("|")) if tags else None
        found = self.the_store.get(
            topic, int(queue), int(offset), max_count=int(count), max_bytes=int(bytes_), tag_codes=codes
        )
        self.say(f"{found.status.value}; next {found.next_offset}, queue {found.min_offset} to {found.max_offset}")
        for record in found.records:
            message = decode(record, check_crc=True)
            text = message.body.decode()
            body = text if len(text) < 20 else f"{len(text)}B"
            self.say(" ".join([f"#{message.queue_offset} {body}", *filter(None, [message.tag, *message.keys])]))

    def times(self, topic: str, *moments: str) -> None:
        for moment in moments:
            lower = self.the_store.offset_by_time(topic, 0, 1_700_000_000_000 + int(moment))
            upper = self.the_store.offset_by_time(topic, 0, 1_700_000_000_000 + int(moment), upper=True)
            self.say(f"{moment}: {lower} {upper}")

    def query(self, topic: str, key: str, begin: str = "0", end: str = "9000000000000", count: str = "32") -> None:
        records = self.the_store.query(topic, key, int(count), int(begin), int(end), max_bytes=1 << 20)
        self.say(" ".join(str(decode(record).commit_log_offset) for record in records) or "nothing")

    def clock_(self, ms: str) -> None:
        self.clock.advance(int(ms))

    def disk_(self, used: str) -> None:
        self.disk.used = int(used)

    def retain(self, hours: str = "0") -> None:
        newest = max(path.stat().st_mtime for path in (self.root / "commitlog").iterdir())
        removed = self.the_store._maintenance.retention.run(newest + int(hours) * 3600)
        self.say(f"{removed} files removed; log begins at {self.the_store.min_commit_log_offset}")
        if self.the_store.refusal:
            self.say(self.the_store.refusal)

    def delete(self, topic: str) -> None:
        self.the_store.delete_topic(topic)

    def files(self) -> None:
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path.parent.name != "index":
                self.say(str(path.relative_to(self.root)))

    def close(self) -> None:
        self.the_store.close_now()
        self.store = None

    def kill(self) -> None:
        """What kill -9 does: nothing more is written, every descriptor closes."""
        self.the_store._release()
        self.store = None

    def remove(self, *names: str) -> None:
        for name in names:
            path = self.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write(self, name: str, at: str = "0", hex_: str = "", zeros: str = "0") -> None:
        """Change bytes behind the store's back."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("r+b") as file:
            file.seek(int(at))
            file.write(bytes.fromhex(hex_) + bytes(int(zeros)))

    # ---- running

    @property
    def the_store(self) -> MessageStore:
        assert self.store is not None, "no store is open"
        return self.store

    def say(self, line: str) -> None:
        self.lines.append(line.replace(str(self.root), "ROOT"))

    def run_block(self, commands: list[str]) -> list[str]:
        self.lines = []
        for command in commands:
            name, *words = shlex.split(command)
            named: dict[str, Any] = dict(word.split("=", 1) for word in words if "=" in word)
            method = getattr(self, name, None) if name not in ("clock", "disk") else getattr(self, name + "_")
            assert method is not None, f"no command {name!r}"
            named = {key + "_" if key in ("bytes", "hex") else key: value for key, value in named.items()}
            try:
                method(*[word for word in words if "=" not in word], **named)
            except MQError as error:
                self.say(f"{type(error).__name__}: {error}")
        return self.lines


def run(script: Path, root: Path) -> tuple[str, str]:
    """Run a script; returns its text as it is and as it would be with the outputs found."""
    text = script.read_text()
    runner = Script(root)
    blocks = []
    try:
        for block in text.strip("\n").split("\n\n"):
            head, _, _ = (block + "\n").partition("---\n")
            commands = [line for line in head.splitlines() if line and not line.startswith("#")]
            if not commands:
                blocks.append(block)
                continue
            blocks.append("\n".join([head.rstrip("\n"), "---", *runner.run_block(commands)]))
    finally:
        if runner.store is not None:
            runner.kill()
    found = "\n\n".join(blocks) + "\n"
    if os.environ.get("UPDATE_SCRIPTS"):
        script.write_text(found)
    return text, found
