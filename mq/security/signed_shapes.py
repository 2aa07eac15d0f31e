"""Reading what is signed straight out of a binary header, without making texts of it.

The headers that one client signs differ in a few values and not in their form. So a connection remembers forms, by
length: which names there are, where each value lies, which values never changed, and in which order they are signed. A
header of a known form is cut once, its unchanging stretches are compared, and what is signed is put together as bytes:
a send is checked in 4 us, where making texts of its fields costs 9. A form is nothing to trust: each header is measured
against its own signature. `binary_ext.Shapes` does the same for the handler.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final

from mq.errors import RemoteProtocolError
from mq.remoting import binary_ext
from mq.remoting.binary_ext import Entry
from mq.remoting.signature import ACCESS_KEY, SIGNATURE, signed_names

#: Limits on what one connection may make us remember.
MAX_LENGTHS: Final = 128
MAX_FORMS_PER_LENGTH: Final = 4
MAX_LEARNED_BYTES: Final = 4096


class Fields(Mapping[str, str]):
    """The fields of one header, each made a text when it is asked for."""

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: tuple[bytes, ...]) -> None:
        self._places = places
        self._values = values

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[self._places[name]].decode()
        except UnicodeDecodeError as error:
            raise RemoteProtocolError(f"the header field {name} is not UTF-8: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


#: Access key, signature, the bytes that were signed besides the body, and the fields. No class: that costs 0.2 us.
Signed = tuple[bytes, bytes, bytes, Fields]


class _Form:
    """Headers of one length with the same names, whose values lie in the same places."""

    def __init__(self, data: bytes, layout: list[Entry], changing: frozenset[bytes]) -> None:
        self.data = data
        self.layout = layout
        self.changing = changing
        cuts, at = [], 0
        names = [entry.key.decode() for entry in layout if entry.key in changing]
        for key, start, end in layout:
            if key in changing:
                cuts += [start - at, end - start]
                at = end
        cuts.append(len(data) - at)
        self._cut: Callable[[bytes], tuple[Any, ...]] = struct.Struct("".join(f"{length}s" for length in cuts)).unpack
        self._unchanging = self._cut(data)[::2]
        # What is cut out is followed by what never changes: each value, then those that are signed side by side as one.
        changing_count = len(names)
        names += [entry.key.decode() for entry in layout if entry.key not in changing]
        constants = [data[start:end] for key, start, end in layout if key not in changing]
        self._places = {name: place for place, name in enumerate(names)}
        self._access_key, self._signature = self._places[ACCESS_KEY], self._places[SIGNATURE]
        pieces: list[int] = []
        for place in (self._places[name] for name in signed_names(names)):
            if place < changing_count:
                pieces.append(place)
            elif pieces and pieces[-1] >= len(names):
                constants[-1] += constants[place - changing_count]
            else:
                pieces.append(changing_count + len(constants))
                constants.append(constants[place - changing_count])
        constants.append(b"")  # one more piece, as of one alone `itemgetter` makes no tuple
        self._constants = tuple(constants)
        self._signed = itemgetter(*pieces, changing_count + len(constants) - 1)

    def read(self, data: bytes) -> Signed | None:
        """None when `data` is of another form."""
        parts = self._cut(data)
        if parts[::2] != self._unchanging:
            return None
        values = parts[1::2] + self._constants
        content = b"".join(self._signed(values))
        return values[self._access_key], values[self._signature], content, Fields(self._places, values)

    def widened(self, data: bytes, layout: list[Entry]) -> _Form | None:
        """This form with the values in which `data` differs among the changing ones; None for another layout."""
        if layout != self.layout:
            return None
        different = {key for key, start, end in layout if data[start:end] != self.data[start:end]}
        return _Form(data, layout, self.changing | different)


class SignedShapes:
    """The forms that one connection has shown."""

    def __init__(self) -> None:
        self._by_length: dict[int, list[_Form]] = {}

    def read(self, data: bytes) -> Signed | None:
        """What a header of a known form says; None for any other."""
        for form in self._by_length.get(len(data), ()):
            signed = form.read(data)
            if signed is not None:
                return signed
        return None

    def learn(self, data: bytes) -> None:
        """Remember the form of a header that was found to be signed."""
        if len(data) > MAX_LEARNED_BYTES:
            return
        layout = list(binary_ext.entries(data))
        names = {entry.key.decode() for entry in layout}
        # Of equal names the last one counts, and an empty value not at all: places alone do not say that.
        is_plain = len(names) == len(layout) and all(entry.start < entry.end for entry in layout)
        if not is_plain or not {ACCESS_KEY, SIGNATURE} < names or len(names) < 3:
            return
        if len(self._by_length) >= MAX_LENGTHS:
            self._by_length.clear()
        forms = self._by_length.setdefault(len(data), [])
        for position, form in enumerate(forms):
            widened = form.widened(data, layout)
            if widened is not None:
                forms[position] = widened
                return
        forms[:] = [_Form(data, layout, frozenset()), *forms[: MAX_FORMS_PER_LENGTH - 1]]
