"""fastjson's dialect, read and written."""

from __future__ import annotations

import json
import random
from typing import NamedTuple

import pytest

from mq import dialect
from mq.errors import RemoteProtocolError


class Queue(NamedTuple):
    topic: str
    queue_id: int


class TestReading:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('{"a":[1,-2.5,true,null]}', {"a": [1, -2.5, True, None]}),
            ("{0:5, 1:7}", {"0": 5, "1": 7}),
            ('{-1:{0:"x"},}', {"-1": {"0": "x"}}),
            ('{{"queueId":1,"a":"T"}:2}', {'{"a":"T","queueId":1}': 2}),
            ("{name:1L}", {"name": 1}),
            ("{0:true,1:false,2:null,}", {"0": True, "1": False, "2": None}),
            ("{0:[],1:[1,],2:1.5e3}", {"0": [], "1": [1], "2": 1500.0}),
            ('{0:"tab\\t \\u4e2d"}', {"0": "tab\t 中"}),
            ('{"a":{"b":[7]},"c":{"$ref":"$.a"},"d":{"$ref":"$.a.b[0]"}}', {"a": {"b": [7]}, "c": {"b": [7]}, "d": 7}),
        ],
    )
    def test_accepts_the_standard_and_what_fastjson_adds(self, text: str, value: object) -> None:
        assert dialect.loads(text) == value
        assert dialect.loads(text.encode()) == value
        assert dialect.loads(f"\n\t {text} ") == value

    @pytest.mark.parametrize(
        "text",
        ["", "{", "{0", "{0:", "{0:1", "[", "[1", "{0:1}x", '{0:"', "{,}", "{0 1}", "{0:nope}", "\xff", "{0:+}",
         '{0:{"$ref":"$.gone"}}', "{0:" * 200 + "1" + "}" * 200, "[" * 100_000],
    )  # fmt: skip
    def test_refuses_everything_else(self, text: str) -> None:
        with pytest.raises(RemoteProtocolError):
            dialect.loads(text)

    def test_answers_or_refuses_whatever_comes(self) -> None:
        seed = random.randrange(1 << 32)
        print("seed", seed)
        seeded = random.Random(seed)
        for _ in range(5000):
            text = "".join(seeded.choice('{}[]:,"0a1-.$\\ ') for _ in range(seeded.randrange(20)))
            try:
                value = dialect.loads(text)
            except RemoteProtocolError:
                continue
            json.dumps(value)


class TestWriting:
    def test_writes_standard_json(self) -> None:
        assert dialect.dumps({1: {"a": [1, None, "中"]}}) == '{"1":{"a":[1,null,"中"]}}'.encode()

    def test_writes_bare_and_object_keys_when_asked(self) -> None:
        value = {"table": {0: 5, Queue("T", 1): [True]}}

        written = dialect.dumps(value, bare_keys=True)

        assert written == b'{"table":{0:5,{"topic":"T","queue_id":1}:[true]}}'
        assert dialect.loads(written) == {"table": {"0": 5, '{"queue_id":1,"topic":"T"}': [True]}}
