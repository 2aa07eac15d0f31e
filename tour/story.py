"""How the tour talks: steps, what somebody did, messages as they pass, and what was found true or not."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape

from mq.message import ReceivedMessage


class Story:
    """Prints as things happen, and remembers what was not as it should be."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self.failures: list[str] = []

    def step(self, number: int, title: str, why: str) -> None:
        self._say("")
        self._say(f"[bold cyan]{number}  {escape(title)}[/]")
        self._say(f"   [dim]{escape(why)}[/]")

    def did(self, sentence: str) -> None:
        """What a buyer, the gateway or the operator did."""
        self._say(f"   [dim]{self._elapsed()}[/]  {escape(sentence)}")

    def message(self, message: ReceivedMessage) -> None:
        """A message that carried it: topic, tag, key, queue, offset."""
        key = message.keys[0] if message.keys else ""
        place = f"queue {message.queue_id}, offset {message.queue_offset}"
        self._say(
            f"             [magenta]{message.topic:<15}[/] [bold]{escape(message.tag or ''):<22}[/] "
            f"{escape(key):<27} [dim]{place}[/]"
        )

    def check(self, holds: bool, sentence: str) -> None:
        """Say whether what the step is about came true."""
        if holds:
            self._say(f"   [bold green]✓[/] {escape(sentence)}")
        else:
            self.fail(f"not so: {sentence}")

    def fail(self, sentence: str) -> None:
        self.failures.append(sentence)
        self._say(f"   [bold red]✗ {escape(sentence)}[/]")

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._began_s:6.2f} s"

    def _say(self, markup: str) -> None:
        self._console.print(markup, highlight=False, soft_wrap=True)
