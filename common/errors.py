"""Anticipated refusals: what a person is told when the shop says no. Anything else that is raised is a fault.

Every one becomes the same JSON, `{"code": ..., "message": ..., "details": ...}`, with its `http_status`. Codes are
stable: clients branch on them, so a code is never renamed. A service defines its own beside the function that raises.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ShopError(Exception):
    """Base of all refusals. `message` is a sentence for the buyer; `details` holds what a program may want to know."""

    code: ClassVar[str] = "REFUSED"
    http_status: ClassVar[int] = 409

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class NotAuthenticated(ShopError):
    """No token, or one that is forged, of another shop or too old."""

    code = "NOT_AUTHENTICATED"
    http_status = 401


class NotFound(ShopError):
    """Nothing with that name, or nothing that this buyer may see: the answer is the same, so nothing can be probed."""

    code = "NOT_FOUND"
    http_status = 404


class InvalidInput(ShopError):
    """The request is readable but says something impossible; `details` names the `field`."""

    code = "INVALID_INPUT"
    http_status = 422


class BodyTooLarge(ShopError):
    """The body exceeds `DATA_UPLOAD_MAX_MEMORY_SIZE`."""

    code = "BODY_TOO_LARGE"
    http_status = 413


class TryAgain(Exception):
    """Not now, and nothing was decided: the same request may be sent again in a moment. Its text is for the log."""
