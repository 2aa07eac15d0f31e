from __future__ import annotations

from functools import partial
from pathlib import Path

from common.testing import race
from payments.gateway import keys


class TestKeyFile:
    def test_is_one_writers_own_when_many_start_together(self, tmp_path: Path):
        path = tmp_path / "private.pem"
        contents = [bytes([65 + writer]) * 100_000 for writer in range(8)]

        results = race([partial(keys._write_once, path, content, mode=0o600) for content in contents])

        assert results == [None] * 8
        assert path.read_bytes() in contents
        assert list(tmp_path.iterdir()) == [path]
