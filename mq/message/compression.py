"""Compressed bodies: RocketMQ's three algorithms, named by three bits of a message's `sysFlag`.

zlib is what every client of every language reads; LZ4 (its frame format) and Zstandard are read by Java and by us.
Both are imported when first met: they take a tenth of a second, and most processes never need them.
Source: RocketMQ common/compression/*.java; remoting sheet 4.6.
"""

from __future__ import annotations

import enum
import zlib
from typing import Final

from mq.errors import RemoteProtocolError
from mq.message import sys_flag

#: The most a compressed body may grow to: a few bytes must not become gigabytes.
MAX_INFLATED_BYTES: Final = 4 * 1024 * 1024
#: From a mebibyte on also by what factor. zlib itself never exceeds 1,032 to 1.
MAX_INFLATE_RATIO: Final = 1_100
_HARMLESS_BYTES: Final = 1024 * 1024


class Compression(enum.Enum):
    """The values are the algorithm's bits of `sysFlag`."""

    ZLIB = sys_flag.COMPRESSION_ZLIB
    LZ4 = sys_flag.COMPRESSION_LZ4
    ZSTD = sys_flag.COMPRESSION_ZSTD


def compress(body: bytes, algorithm: Compression = Compression.ZLIB, level: int = 5) -> tuple[bytes, int]:
    """The body and its sysFlag; it stays as it is when it does not get smaller, or so small that `inflate` refuses it.

    `level` is zlib's and Zstandard's; LZ4 has only one that is fast.
    """
    if algorithm is Compression.ZLIB:
        compressed = zlib.compress(body, level)
    elif algorithm is Compression.LZ4:
        import lz4.frame

        # Java's reader refuses blocks that refer to the one before.
        compressed = lz4.frame.compress(body, block_linked=False)
    else:
        import zstandard

        compressed = zstandard.ZstdCompressor(level=level).compress(body)
    if len(compressed) >= len(body) or len(body) > _limit(compressed):
        return body, 0
    return compressed, sys_flag.COMPRESSED | algorithm.value


def inflate(body: bytes, flags: int) -> bytes:
    """Decompress a body as its sysFlag says; no algorithm there means zlib, as old clients mean it.

    Raises: RemoteProtocolError: an unknown algorithm, bytes that are not of it, a body that is cut off, or more than
        4 MiB, or 1 MiB and 1,100 times the input.
    """
    bits = flags & sys_flag.COMPRESSION_MASK or sys_flag.COMPRESSION_ZLIB
    limit = _limit(body)
    if bits == sys_flag.COMPRESSION_ZLIB:
        inflated, is_whole = _inflate_zlib(body, limit)
    elif bits == sys_flag.COMPRESSION_LZ4:
        inflated, is_whole = _inflate_lz4(body, limit)
    elif bits == sys_flag.COMPRESSION_ZSTD:
        inflated, is_whole = _inflate_zstd(body, limit)
    else:
        raise RemoteProtocolError(f"compression {bits >> 8} is none of RocketMQ's: sysFlag {flags:#x}")
    if not is_whole:
        raise RemoteProtocolError(f"a compressed body of {len(body)} bytes is cut off or exceeds {limit} bytes")
    return inflated


def _limit(compressed: bytes) -> int:
    return min(MAX_INFLATED_BYTES, max(len(compressed) * MAX_INFLATE_RATIO, _HARMLESS_BYTES))


def _inflate_zlib(body: bytes, limit: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(body, limit)
        # A body of exactly `limit` bytes may leave its end mark unread.
        return inflated, inflater.eof or (inflater.decompress(inflater.unconsumed_tail, 1) == b"" and inflater.eof)
    except zlib.error as error:
        raise RemoteProtocolError(f"a body is not zlib's: {error}") from error


def _inflate_lz4(body: bytes, limit: int) -> tuple[bytes, bool]:
    import lz4.frame

    inflater = lz4.frame.LZ4FrameDecompressor()
    try:
        inflated = inflater.decompress(body, max_length=limit)
        return inflated, inflater.eof or (inflater.decompress(b"", max_length=1) == b"" and inflater.eof)
    except (RuntimeError, EOFError) as error:
        raise RemoteProtocolError(f"a body is no LZ4 frame: {error}") from error


def _inflate_zstd(body: bytes, limit: int) -> tuple[bytes, bool]:
    import zstandard

    try:
        # Asked first, because so much would be allocated; -1: the frame does not say, and `limit` is.
        if zstandard.frame_content_size(body) > limit:
            return b"", False
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit), True
    except zstandard.ZstdError as error:
        raise RemoteProtocolError(f"a body is no Zstandard frame of at most {limit} bytes: {error}") from error
