"""The suite is whole: a package whose tests nobody runs would look as green as the others."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_package_with_tests_is_run(pytestconfig: pytest.Config) -> None:
    with_tests = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/test_*.py")}

    assert with_tests - {"interop"} == set(pytestconfig.getini("testpaths"))
