"""Golden scripts of the codec: frames, then what they say, as text that reads like documentation.

A script is blocks, separated by blank lines: comments and frames, `---`, the output, a line a frame. A frame is written
as `hex` and its bytes, or as `json` and a header, which gets its lengths here; ` + ` and a text add a body.
`UPDATE_SCRIPTS=1 pytest mq/remoting` writes the outputs anew; read the difference before you commit it.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

from mq.errors import RemoteProtocolError
from mq.remoting.codec import FrameDecoder
from mq.remoting.command import RemotingCommand

#: Gives the bytes of a frame to a decoder in one way or another, and returns the commands it read.
Feed = Callable[[bytes], list[RemotingCommand]]


def whole(frame: bytes) -> list[RemotingCommand]:
    return FrameDecoder().feed(frame)


def byte_by_byte(frame: bytes) -> list[RemotingCommand]:
    decoder = FrameDecoder()
    return [command for byte in frame for command in decoder.feed(bytes([byte]))]


def with_trailing_bytes(frame: bytes) -> list[RemotingCommand]:
    """Twice and a beginning in one piece; both must say the same, and the rest waits."""
    first, second = FrameDecoder().feed(frame * 2 + frame[:7])
    assert say(first) == say(second)
    return [first]


def run(script: Path, feed: Feed) -> tuple[str, str]:
    """Run a script; returns its text as it is and as it would be with the outputs found."""
    text = script.read_text()
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        head, _, _ = (block + "\n").partition("---\n")
        frames = [line for line in head.splitlines() if line and not line.startswith("#")]
        blocks.append("\n".join([head.rstrip("\n"), "---", *(_output(line, feed) for line in frames)]))
    found = "\n\n".join(blocks) + "\n"
    if os.environ.get("UPDATE_SCRIPTS"):
        script.write_text(found)
    return text, found


def frames(script: Path) -> list[bytes]:
    return [frame_of(line) for line in script.read_text().splitlines() if line.startswith(("hex ", "json "))]


def frame_of(line: str) -> bytes:
    kind, _, rest = line.partition(" ")
    header, _, body = rest.partition(" + ")
    if kind == "hex":
        return bytes.fromhex(header) + body.encode()
    return (
        struct.pack(">II", 4 + len(header.encode()) + len(body), len(header.encode())) + header.encode() + body.encode()
    )


def say(command: RemotingCommand) -> str:
    """`code language version opaque flag`, then remark, fields and body where there are any."""
    form = "binary" if command.is_binary else "json"
    parts = [f"{form} {command.code} {command.language} v{command.version} #{command.opaque} flag={command.flag}"]
    if command.remark is not None:
        parts.append(f"remark={command.remark!r}")
    if command.ext_fields:
        parts.append(json.dumps(command.ext_fields, ensure_ascii=False))
    if command.body:
        parts.append(f"body={command.body.decode()!r}")
    return " ".join(parts)


def _output(line: str, feed: Feed) -> str:
    try:
        commands = feed(frame_of(line))
    except RemoteProtocolError as error:
        return f"refused: {error}"
    return "; ".join(map(say, commands)) or "waits for more"
