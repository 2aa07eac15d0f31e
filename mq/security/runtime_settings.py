"""Changing the settings of a running server (codes 25 and 318): by a short list of what may change, and how far.

RocketMQ lets a request set any property and forbids some by name; twice a forgotten name became a way in
(CVE-2023-33246, CVE-2023-37582). Here a key that is not on the list is refused, and nothing on it is a path, an
address, a name or a promise about the disk. A change holds for the running server and, kept in a file whose place no
request can choose, after a restart too: it wins over the configuration file and loses to `--set`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from mq import properties_file
from mq.errors import ResponseError
from mq.properties_file import ConfigError
from mq.remoting.codes import ResponseCode

logger = logging.getLogger(__name__)

Config = TypeVar("Config")

MAX_REQUEST_BYTES: Final = 64 << 10
_COMMENT: Final = "# Set at run time; these win over the configuration file. Delete a line, or this file, to undo.\n"


class Check(NamedTuple):
    """What a value may be, in words and as a test of the text that stands for it."""

    allowed: str
    accepts: Callable[[str], bool]


FLAG: Final = Check("true or false", lambda text: text in ("true", "false"))


def between(low: int, high: int) -> Check:
    def accepts(text: str) -> bool:
        return text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high

    return Check(f"{low} to {high}", accepts)


class RuntimeSettings:
    """What of a config may change, and the file that remembers it."""

    def __init__(self, checks: Mapping[str, Check], path: Path) -> None:
        self._checks = checks
        self.path = path

    def load(self) -> dict[str, str]:
        """What earlier requests have set; what is no longer allowed is left out, with a warning.

        Raises: ConfigError: the file cannot be read.
        """
        kept = {}
        for key, text in (properties_file.load(self.path) if self.path.exists() else {}).items():
            try:
                self._check(key, text)
                kept[key] = text
            except (ConfigError, ResponseError) as error:
                logger.warning("%s: ignored: %s", self.path, error)
        return kept

    def change(self, config: Config, body: bytes, who: str) -> Config:
        """The config with what a request asks for, which is remembered on disk by then; all of it or nothing.

        Raises: ResponseError: 16 for a key that may not change, 29 for a value that is not allowed.
        """
        asked = _asked(body)
        try:
            for key, text in asked.items():
                self._check(key, text)
            changed = properties_file.changed(config, asked)
        except ConfigError as error:
            raise ResponseError(ResponseCode.INVALID_PARAMETER, str(error)) from error
        if asked:
            self._save(self.load() | asked)
        before = properties_file.dump(config)
        for key, text in asked.items():
            logger.warning("%s changed %s from %s to %s", who, key, before[key], text)
        return changed

    def _check(self, key: str, text: str) -> None:
        check = self._checks.get(key)
        if check is None:
            raise ResponseError(
                ResponseCode.NO_PERMISSION, f"{key[:100]} cannot be changed at run time; what can: {list(self._checks)}"
            )
        if not check.accepts(text):
            raise ConfigError(f"{key}={text[:50]}: {check.allowed} is expected")

    def _save(self, values: dict[str, str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.write(_COMMENT + "".join(f"{key}={text}\n" for key, text in sorted(values.items())))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def _asked(body: bytes) -> dict[str, str]:
    if len(body) > MAX_REQUEST_BYTES:
        raise ResponseError(ResponseCode.INVALID_PARAMETER, f"more than {MAX_REQUEST_BYTES} bytes of settings")
    try:
        return properties_file.parse(body.decode())
    except UnicodeDecodeError as error:
        raise ResponseError(ResponseCode.INVALID_PARAMETER, f"the settings are not UTF-8: {error}") from error
