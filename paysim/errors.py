"""Refusals in the gateway's words: `code` is the class of the answer, `sub_code` the reason a program looks at."""

from __future__ import annotations

SUCCESS = "10000"
INVALID = "40002"
REFUSED = "40004"


class Refusal(Exception):
    """The request is answered with a refusal and changed nothing."""

    def __init__(self, code: str, sub_code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sub_code = sub_code
        self.sentence = sentence


def invalid(sub_code: str, sentence: str) -> Refusal:
    """The request itself is wrong: sent again unchanged, it will be refused again."""
    return Refusal(INVALID, sub_code, sentence)


def refused(sub_code: str, sentence: str) -> Refusal:
    """The request is well made, and the state of the trade does not allow it."""
    return Refusal(REFUSED, sub_code, sentence)


class TooLong(Refusal):
    """The rest of the request was not read, so its connection carries no further one."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(INVALID, "isv.invalid-parameter", f"the request is longer than {bytes_max} bytes")


class Unanswered(Exception):
    """A fault was asked for: the connection gets a bare status instead of an answer."""

    def __init__(self, status: int = 503) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
