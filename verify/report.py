"""The findings as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from verify.finding import Finding, Status, exit_code

_WIDTH = 130
_VERDICTS = {Status.HOLDS: "[green]holds", Status.BROKEN: "[bold red]BROKEN", Status.UNREACHABLE: "[yellow]unknown"}
_SUMMARIES = {0: "[green]Everything adds up.", 1: "[bold red]Something is broken.", 3: "[yellow]A part did not answer."}


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    checks = [
        {
            "name": finding.name,
            "sentence": finding.sentence,
            "status": finding.status.value,
            "numbers": finding.numbers,
            "breaks": finding.breaks,
            "break_count": finding.break_count,
        }
        for finding in findings
    ]
    return {"ok": exit_code(findings) == 0, "checks": checks}


def console() -> Console:
    """As wide as the terminal; a file or a pipe gets lines that hold the table."""
    found = Console()
    return found if found.is_terminal else Console(width=_WIDTH)


def show(findings: Sequence[Finding], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("What must hold", ratio=3)
    table.add_column("Compared", ratio=4)
    table.add_column("", no_wrap=True)
    for finding in findings:
        table.add_row(finding.name, escape(finding.sentence), _compared(finding), _VERDICTS[finding.status])
    console.print(table)
    for finding in findings:
        for line in finding.breaks:
            console.print(f"  {finding.name}: {escape(line)}")
        if finding.break_count > len(finding.breaks):
            console.print(f"  {finding.name}: and {finding.break_count - len(finding.breaks)} more")
    console.print(_SUMMARIES[exit_code(findings)])


def _compared(finding: Finding) -> str:
    return ", ".join(f"{escape(name)} [bold]{number:,}[/bold]" for name, number in finding.numbers.items())
