"""What the store keeps in mind of a message from `append` until queues and index know it."""

from __future__ import annotations

from typing import TypeAlias

from mq.store.consume_queue import ConsumeQueue

#: Queue (None: in no queue), commit log offset, record bytes, tag code, topic, properties text, sysFlag, store time ms.
#: A plain tuple, as one is made for every message: 0.06 us for 0.35 as a named one.
Entry: TypeAlias = tuple[ConsumeQueue | None, int, int, int, str, bytes, int, int]
