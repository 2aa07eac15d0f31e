"""Compressed bodies: what our side writes and reads, and what it refuses."""

import random
import zlib

import lz4.frame
import pytest
import zstandard

from mq.errors import RemoteProtocolError
from mq.message import sys_flag
from mq.message.compression import MAX_INFLATED_BYTES, Compression, compress, inflate

ALGORITHMS = list(Compression)
ORDERS = b'{"order":4711,"state":"PAID"},' * 400


@pytest.mark.parametrize("algorithm", ALGORITHMS)
class TestEveryAlgorithm:
    def test_comes_back_as_it_was(self, algorithm):
        compressed, flags = compress(ORDERS, algorithm)

        assert len(compressed) < len(ORDERS) / 10
        assert flags == sys_flag.COMPRESSED | algorithm.value
        assert inflate(compressed, flags) == ORDERS

    def test_leaves_alone_what_does_not_get_smaller(self, algorithm):
        noise = random.Random(7).randbytes(5000)

        assert compress(noise, algorithm) == (noise, 0)

    @pytest.mark.parametrize("size", [MAX_INFLATED_BYTES - 1, MAX_INFLATED_BYTES])
    def test_never_makes_what_it_would_not_read(self, algorithm, size):
        body, flags = compress(bytes(size), algorithm)

        assert not flags or inflate(body, flags) == bytes(size)

    def test_refuses_every_truncation(self, algorithm):
        compressed, flags = compress(ORDERS, algorithm)

        for length in range(len(compressed)):
            with pytest.raises(RemoteProtocolError):
                inflate(compressed[:length], flags)

    def test_refuses_bytes_of_another(self, algorithm):
        for other in set(ALGORITHMS) - {algorithm}:
            with pytest.raises(RemoteProtocolError, match=r"zlib's|LZ4|Zstandard"):
                inflate(compress(ORDERS, other)[0], algorithm.value)


class TestInflate:
    @pytest.mark.parametrize(
        ("algorithm", "bomb"),
        [
            (Compression.ZLIB, zlib.compress(bytes(64 << 20))),
            (Compression.LZ4, lz4.frame.compress(bytes(64 << 20))),
            (Compression.ZSTD, zstandard.compress(bytes(64 << 20))),
            (Compression.ZSTD, zstandard.ZstdCompressor(write_content_size=False).compress(bytes(64 << 20))),
            (Compression.ZSTD, zstandard.compress(bytes(2 << 20))),
        ],
        ids=["zlib", "LZ4", "Zstandard", "Zstandard that does not say its size", "beyond the ratio"],
    )
    def test_does_not_let_a_small_body_grow_without_bound(self, algorithm, bomb):
        with pytest.raises(RemoteProtocolError, match=r"at most|exceeds"):
            inflate(bomb, algorithm.value)

    def test_takes_no_algorithm_for_zlib_as_old_clients_mean_it(self):
        assert inflate(zlib.compress(b"hello"), sys_flag.COMPRESSED) == b"hello"

    def test_refuses_an_unknown_algorithm(self):
        with pytest.raises(RemoteProtocolError, match="compression 7"):
            inflate(b"hello", 0x700)
