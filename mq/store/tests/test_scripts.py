"""The store's behavior, told by the scripts in `scripts/` (see `golden.py`)."""

from pathlib import Path

import pytest

from mq.store.tests import golden

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_gives_its_output(script: Path, tmp_path: Path) -> None:
    expected, found = golden.run(script, tmp_path / "store")

    assert found == expected
