"""Child processes that cannot outlive their parent, and servers that refuse to run as root.

Linux tells a child when the thread that started it ends (PDEATHSIG): so whatever happens to the supervisor, kill -9
included, its children get their stop signal. Elsewhere only `manage.py down` cleans up.

PostgreSQL refuses to run as root. For it, root (a container, a build machine) becomes `nobody` and keeps one power,
to pass directory permissions: data directories under /root or in a private temporary directory stay as they are instead
of being opened to everyone.
Source: prctl(2), capabilities(7) "Ambient"; the constants are those of linux/prctl.h and linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

_IS_LINUX = sys.platform == "linux"
#: Looked up before any fork: between fork and exec a child must not wait for a lock some other thread held.
_libc = ctypes.CDLL(None, use_errno=True) if _IS_LINUX else None


class ProcessOptions(TypedDict):
    """Arguments that `subprocess.Popen` and asyncio's `create_subprocess_exec` share."""

    stdin: int
    stderr: int
    cwd: Path | None
    env: Mapping[str, str] | None
    pass_fds: Sequence[int]
    process_group: int
    preexec_fn: Callable[[], None]


def options(
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    unprivileged: bool = False,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
) -> ProcessOptions:
    """How to start a child: in a group of its own (Ctrl-C reaches the supervisor only, which then stops it in order).

    It must be started by a thread that lives as long as the child shall: when that ends, Linux sends `death_signal`.
    """
    return {
        "stdin": subprocess.DEVNULL,
        "stderr": subprocess.STDOUT,
        "cwd": directory,
        "env": environment,
        "pass_fds": keep_open,
        "process_group": 0,
        "preexec_fn": _in_child(death_signal, os.getpid(), unprivileged and os.geteuid() == 0),
    }


def die_with_parent(death_signal: signal.Signals = signal.SIGTERM) -> None:
    """The same promise, made by the child itself: for workers which a server of its own starts (granian's)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)


def owner_of_unprivileged() -> tuple[int, int] | None:
    """User and group that files of an unprivileged child must belong to; None when that is simply ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _in_child(death_signal: signal.Signals, parent_pid: int, drop_root: bool) -> Callable[[], None]:
    owner = owner_of_unprivileged() if drop_root else None

    def prepare() -> None:
        if owner is not None:
            _become(*owner)
        die_with_parent(death_signal)  # After the change of user, which clears it.
        if os.getppid() != parent_pid:  # The parent died in between: nobody would ever send the signal.
            os._exit(1)

    return prepare


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySet(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _become(user_id: int, group_id: int) -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(group_id)
    os.setuid(user_id)
    if _libc is not None:
        _keep_passing_directories(_libc)


def _keep_passing_directories(libc: ctypes.CDLL) -> None:
    # Where the container forbids it, the server runs without and says which directory it could not enter.
    mask = 1 << _CAP_DAC_OVERRIDE
    sets = (_CapabilitySet * 2)(_CapabilitySet(mask, mask, mask), _CapabilitySet(0, 0, 0))
    libc.capset(ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), sets)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)
