"""The documentation keeps its word: what it links, names and lists exists in the tree as it is.

Links and headings, paths and tests, `make` targets, `manage.py` and `python -m mq` commands, and the request codes of
the compatibility page. Whether a sentence is true, only a reader can tell.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from django.core.management import get_commands

from mq.__main__ import main
from mq.admin import not_here
from mq.admin.app import families
from mq.broker.app import Broker
from mq.broker.config import BrokerConfig
from mq.namesrv.app import NameServer
from mq.remoting.codes import RequestCode

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Folders at the root: a name in backticks that begins with one of them and a slash is a path.
FOLDERS: Final = frozenset(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
#: Made when something runs, so not in the tree.
MADE: Final = (".venv", ".millrace")

LINK: Final = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
CODE: Final = re.compile(r"`([^`\n]+)`")
FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TEST_NAME: Final = re.compile(r"`(?:(Test\w+)\.)?(test_\w+)`")


def place(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text(page: Path) -> str:
    return page.read_text()


def prose(page: Path) -> str:
    """Without fenced blocks, where brackets and backticks mean other things."""
    return FENCE.sub("", text(page))


def links(page: Path) -> Iterator[tuple[str, Path, str]]:
    """Words, target and heading of every link that stays in the repository."""
    for words, address in LINK.findall(prose(page)):
        if "://" not in address:
            path, _, heading = address.partition("#")
            yield words, (page.parent / path).resolve() if path else page, heading


def anchor(heading: str) -> str:
    """What a heading is linked by: lower case, words joined by dashes, without punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def functions_of(file: Path) -> frozenset[tuple[str, str]]:
    """Class ("" for none) and name of every function of a file."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = node.name if isinstance(node, ast.ClassDef) else ""
        found |= {(owner, one.name) for one in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(found)


def named(pattern: str) -> Iterator[tuple[str, str]]:
    """Page and match of everything in the pages, examples included, that looks like a command."""
    for page in PAGES:
        for word in re.findall(pattern, text(page)):
            yield place(page), word


@pytest.mark.parametrize("page", PAGES, ids=place)
class TestPage:
    def test_links_to_what_exists(self, page: Path):
        broken = [str(target) for _, target, _ in links(page) if not target.exists()]
        assert not broken

    def test_links_to_headings_that_exist(self, page: Path):
        for _, target, heading in links(page):
            if heading:
                headings = re.findall(r"^#+ (.+)$", prose(target), re.MULTILINE)
                assert heading in map(anchor, headings), f"{target.name} has no heading #{heading}"

    def test_names_tests_that_exist(self, page: Path):
        for words, target, _ in links(page):
            match = TEST_NAME.fullmatch(words)
            if match:
                owner, name = match.groups(default="")
                assert (owner, name) in functions_of(target), f"{target.name} has no {words}"

    def test_names_paths_that_exist(self, page: Path):
        for word in CODE.findall(prose(page)):
            path = word.split()[0].rstrip("/")
            is_path = "/" in word and path.split("/")[0] in FOLDERS and not path.startswith(MADE)
            if is_path and re.fullmatch(r"[\w./-]+", path):
                assert (ROOT / path).exists(), f"`{word}` is not there"


class TestCommands:
    def test_of_make_exist(self):
        targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        found = list(named(r"(?m)(?:`|^)make ([a-z][a-z-]*)"))
        assert found
        assert not [(page, target) for page, target in found if target not in targets]

    def test_of_manage_py_exist(self):
        commands = get_commands()
        found = list(named(r"manage\.py ([a-z][a-z-]*)"))
        assert found
        assert not [(page, command) for page, command in found if command not in commands]

    def test_of_mq_exist(self):
        found = list(named(r"python -m mq ([a-z]+)"))
        assert found
        for page, command in found:
            with pytest.raises(SystemExit) as end:
                sys.exit(main([command, "--help"]))
            assert end.value.code == 0, f"{page} names {command}"


class TestGlossary:
    def test_explains_every_term_once(self):
        rows = re.findall(r"^\| ([^|]+) \|", text(ROOT / "docs" / "glossary.md"), re.MULTILINE)
        terms = Counter(row.strip().lower() for row in rows if row.strip("- ") and row != "term")
        assert terms
        assert not [term for term, count in terms.items() if count > 1]


class TestCompatibility:
    """Two tables, of the broker's and of the name server's requests: exactly what their handlers answer."""

    def test_lists_what_the_broker_answers(self, tmp_path: Path):
        broker = Broker(BrokerConfig(store_root=tmp_path, listen_port=1))
        handled = {code for processor in broker.processors for code in processor.handlers()}
        assert listed("Requests the broker answers") == names_of(handled)

    def test_lists_what_the_name_server_answers(self):
        assert listed("Requests the name server answers") == names_of(NameServer()._handlers())


class TestAdminPage:
    def test_lists_every_command_and_its_purpose(self):
        commands = [(command.name, command.purpose) for family in families() for command in family.commands]
        assert rows_of("Commands") == commands

    def test_lists_every_command_that_is_not_here_and_why(self):
        told = {name: reason for names, reason in rows_of("Not here") for name in names.split()}
        assert told == not_here.SENTENCES


def rows_of(heading: str) -> list[tuple[str, str]]:
    """The rows of the first table under a heading of the admin page."""
    section = text(ROOT / "docs" / "admin.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", section, re.MULTILINE)
    return rows[2:]


def listed(heading: str) -> set[tuple[int, str]]:
    section = text(ROOT / "docs" / "compatibility.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {(int(code), name) for code, name in re.findall(r"\| (\d+) \| ([A-Z_0-9]+) (?=\|)", section)}


def names_of(codes: Iterable[int]) -> set[tuple[int, str]]:
    return {(int(code), RequestCode(code).name) for code in codes}


class TestPromises:
    """Each row of `docs/architecture/promises.md` links a test that is run with `make promises`."""

    PAGE: Final = ROOT / "docs" / "architecture" / "promises.md"

    @pytest.mark.parametrize("name", [*(f"B{number}" for number in range(1, 18)), "T1"])
    def test_each_has_a_test_that_is_marked_so(self, name: str) -> None:
        (row,) = re.findall(rf"^\| {name} .*$", text(self.PAGE), re.MULTILINE)
        paths = [(self.PAGE.parent / address).resolve() for _, address in LINK.findall(row)]

        assert any("pytest.mark.promise" in path.read_text() for path in paths)


class TestPagesOfTheQueue:
    """`docs/architecture/mq`: a page a layer, with its invariant, what shows it, and what of RocketMQ it mirrors."""

    FOLDER: Final = ROOT / "docs" / "architecture" / "mq"
    INDEX: Final = FOLDER / "index.md"

    @pytest.fixture
    def order(self) -> list[Path]:
        """The pages in the order to read them in."""
        rows = re.findall(r"^\| \d+ \| \[[^\]]+\]\(([\w-]+\.md)\)", text(self.INDEX), re.MULTILINE)
        return [self.FOLDER / name for name in rows]

    def test_are_all_in_the_order_to_read_them_in(self, order: list[Path]):
        assert sorted([*order, self.INDEX]) == sorted(self.FOLDER.glob("*.md"))

    def test_lead_from_one_to_the_next(self, order: list[Path]):
        for number, page in enumerate(order, 1):
            title, way = text(page).split("\n")[0:3:2]
            assert title.startswith(f"# The queue, {number}: ")
            linked = [target for _, target in LINK.findall(way)]
            assert linked[:1] == [order[number - 2].name] or number == 1
            assert linked[-1] == (order[number].name if number < len(order) else "../promises.md")

    def test_say_what_holds_what_shows_it_and_where_it_comes_from(self, order: list[Path]):
        for page in order:
            assert "\n**Invariant.** " in text(page), place(page)
            shown, _, mirrored = text(page).partition("## What shows it\n")[2].partition("## In RocketMQ\n")
            assert any(TEST_NAME.fullmatch(words) for words, _ in LINK.findall(shown)), f"{place(page)} links no test"
            assert re.search(r"\bClass(es)?\b|\bclasses\b", mirrored), f"{place(page)} names no class of RocketMQ"

    def test_are_short(self, order: list[Path]):
        for page in order:
            assert len(text(page).split("\n")) <= 130, f"{place(page)} is longer than two screens"
