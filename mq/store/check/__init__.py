"""Looking at a store without touching it: what is there, and what is damaged, by file and offset.

`check_store` reads any classic store, ours or Apache RocketMQ's: the commit log record by record with its CRCs, then
everything that follows from it, held against it. Files are opened for reading only; a shared lock keeps brokers away.
"""

from mq.store.check.report import Finding, Part, Report
from mq.store.check.store import check_store

__all__ = ["Finding", "Part", "Report", "check_store"]
