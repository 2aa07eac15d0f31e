"""Nothing that serves requests can start a program, run text as code, or load objects from bytes: read from the source.

import-linter holds the imports of modules; this looks at every name and every call, in whatever disguise.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

MQ: Final = Path(__file__).resolve().parents[2]
#: The command line and the tests' helpers serve nobody.
SERVING: Final = ("broker", "namesrv", "remoting", "security", "store", "message")
FORBIDDEN_MODULES: Final = frozenset(
    {"subprocess", "multiprocessing", "pty", "pickle", "shelve", "marshal", "dill", "yaml", "code", "codeop", "runpy"}
    | {"importlib", "ctypes", "imp", "commands", "popen2", "xml", "jsonpickle", "cloudpickle"}
)
FORBIDDEN_NAMES: Final = frozenset({"eval", "exec", "compile", "__import__", "input", "breakpoint"})
FORBIDDEN_ATTRIBUTES: Final = frozenset(
    {"system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "startfile", "__subclasses__", "__globals__"}
    | {"create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell"}
    | {f"{kind}{suffix}" for kind in ("exec", "spawn") for suffix in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")}
)


def sources() -> list[Path]:
    found = [path for part in SERVING for path in (MQ / part).rglob("*.py") if "tests" not in path.parts]
    return sorted([*found, *MQ.glob("*.py")])


def ways_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names = []
        yield from (f"import {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        yield from (f"import {name}" for name in names if name.split(".")[-1] in FORBIDDEN_ATTRIBUTES)
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield node.id
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_ATTRIBUTES:
            yield f".{node.attr}"
        if isinstance(node, ast.keyword) and node.arg == "shell":
            yield "shell="


@pytest.mark.parametrize("path", [p for p in sources() if p.name != "testing.py"], ids=lambda p: str(p.relative_to(MQ)))
def test_has_no_way_to_a_program_or_to_code(path: Path):
    assert list(ways_in(ast.parse(path.read_text()))) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from os import system",
        "import os; os.popen('id')",
        "from yaml import load",
        "eval('1')",
        "import importlib.util",
        "asyncio.create_subprocess_shell('id')",
        "run('id', shell=True)",
        "os.execvp('id', [])",
        "().__class__.__base__.__subclasses__()",
    ],
)
def test_would_see_one(line: str):
    assert list(ways_in(ast.parse(line)))


def test_the_repository_hands_out_no_password():
    """No file but tests holds a secret that everybody could read, least of all those of RocketMQ's samples."""
    root = MQ.parent
    files = [path for path in root.glob("*") if path.is_file() and path.suffix in (".yml", ".yaml", ".toml", ".md")]
    files += [path for folder in ("docs", "config", "mq") for path in (root / folder).rglob("*") if path.is_file()]
    texts = {p: p.read_text(errors="replace") for p in files if "tests" not in p.parts and p.suffix != ".pyc"}

    given = re.compile(r"(secretKey|password|secret_key)\"?\s*[:=]\s*[\"']?(?!\.\.\.)[\w-]{7,}[\"']?\s*$", re.MULTILINE)
    assert {str(path): match[0] for path, text in texts.items() if (match := given.search(text))} == {}
    samples = ("rocketmq2", "admin/admin", "super/admin")
    assert [str(path) for path, text in texts.items() if any(sample in text for sample in samples)] == []
