"""The order in which a store is checked: what the configuration knows, the log, and what follows from the log."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from mq.errors import StoreUnusable
from mq.message.record import COMMIT_LOG_OFFSET_AT
from mq.store.check.files import DataFile, mapped
from mq.store.check.index import IndexCheck
from mq.store.check.log import LogCheck
from mq.store.check.queues import QueueCheck
from mq.store.check.report import Part, Report
from mq.store.check.small_files import check_config, check_marks
from mq.store.check.timers import TimerCheck
from mq.store.config import StoreConfig
from mq.store.foreign import refuse_foreign
from mq.store.store_lock import keep_brokers_away


def check_store(config: StoreConfig) -> Report:
    """Read all of a store that no broker has open; of `config` the paths, the index's geometry and delay levels count.

    Raises: StoreUnusable: no store, in use, or of a kind we do not read.  OSError: not readable.
    """
    root = config.root
    if not (config.commit_log_path.is_dir() or (root / "config").is_dir()):
        raise StoreUnusable(f"{root} is no store: it has neither {config.commit_log_path.name} nor config")
    refuse_foreign(root)
    with keep_brokers_away(root):
        return _check(config)


def _check(config: StoreConfig) -> Report:
    root = config.root
    is_clean = not (root / "abort").exists()
    state = Part("last stop")
    state.add_note("clean" if is_clean else f"{root / 'abort'} is there: a crash, or a stop that did not finish")
    settings, topics = check_config(root)
    queues = QueueCheck(config, topics, is_clean=is_clean)
    queues.load()
    log = LogCheck(config.commit_log_path, is_clean=is_clean, on_record=queues.take, on_file_end=queues.file_ended)
    log.run()
    queues.finish(log)
    with _record_finder(log.files) as is_record:
        index = IndexCheck(config, is_record)
        index.run()
    timers = TimerCheck(root, is_clean=is_clean)
    timers.run()
    marks = check_marks(root, log.shape)
    return Report(root, [state, log.part, queues.part, index.part, timers.part, marks, settings])


@contextlib.contextmanager
def _record_finder(files: list[DataFile]) -> Iterator[Callable[[int], bool]]:
    """Whether the record at a position says that it lies there; positions before the log's first file count as well."""
    with ExitStack() as stack:
        views: list[tuple[DataFile, mmap.mmap]] = [(file, stack.enter_context(mapped(file.path))[1]) for file in files]

        def is_record(position: int) -> bool:
            if not files or position < files[0].start:
                return True  # retention took it
            index = (position - files[0].start) // files[0].size
            if index >= len(views):
                return False
            file, view = views[index]
            at = position - file.start + COMMIT_LOG_OFFSET_AT
            return int.from_bytes(view[at : at + 8], "big") == position

        yield is_record
