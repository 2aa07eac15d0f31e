"""What expressions mean, told by the scripts in `scripts/` (see `golden.py`)."""

from pathlib import Path

import pytest

from mq.filter.tests import golden

SCRIPTS = sorted(golden.FOLDER.glob("*.txt"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script_gives_its_results(script: Path) -> None:
    expected, found = golden.run(script)

    assert found == expected
