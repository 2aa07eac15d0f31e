"""Notes that administrators leave with the name server: text by namespace and key, kept in one JSON file.

RocketMQ uses the namespace ORDER_TOPIC_CONFIG itself. File: `{"configTable":{"namespace":{"key":"value"}}}`, as
RocketMQ's `kvConfig.json`. Source: KVConfigManager.java.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from mq import dialect
from mq.errors import ProtocolError, ResponseError, StoreUnusable
from mq.remoting.codes import ResponseCode

ORDER_TOPIC_CONFIG: Final = "ORDER_TOPIC_CONFIG"
MAX_ENTRIES: Final = 10_000
MAX_VALUE_LENGTH: Final = 65_536


class KVConfig:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: dict[str, dict[str, str]] = {}

    def load(self) -> None:
        """Read the file, when there is one.

        Raises: StoreUnusable: it cannot be read, or holds something else.
        """
        try:
            table = dialect.loads(self._path.read_bytes())["configTable"]
            self._table = {
                str(namespace): {str(key): str(value) for key, value in entries.items()}
                for namespace, entries in table.items()
            }
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreUnusable(
                f"{self._path} cannot be read ({error.strerror}): let this user read it, or choose another place"
            ) from error
        except (ProtocolError, KeyError, TypeError, AttributeError) as error:
            raise StoreUnusable(f"{self._path} is broken ({error}): restore it, or remove it to start empty") from error

    def get(self, namespace: str, key: str) -> str | None:
        return self._table.get(namespace, {}).get(key)

    def namespace(self, namespace: str) -> dict[str, str] | None:
        return self._table.get(namespace)

    def put(self, namespace: str, key: str, value: str) -> None:
        """Note a value; it is on disk when this returns.

        Raises: ResponseError: 1, there is no room for it.
        """
        count = sum(map(len, self._table.values()))
        if max(len(namespace), len(key), len(value)) > MAX_VALUE_LENGTH or count >= MAX_ENTRIES:
            raise ResponseError(
                ResponseCode.SYSTEM_ERROR,
                f"{count} entries are kept already, {MAX_ENTRIES} at most, of {MAX_VALUE_LENGTH} characters each",
            )
        self._table.setdefault(namespace, {})[key] = value
        self._save()

    def delete(self, namespace: str, key: str) -> None:
        if self._table.get(namespace, {}).pop(key, None) is not None:
            self._save()

    def _save(self) -> None:
        """Write a new file and put it in place: a crash leaves the old one or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".tmp")
        with new.open("wb") as file:
            file.write(dialect.dumps({"configTable": self._table}))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
