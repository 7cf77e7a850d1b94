# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory as the card has seen it: what it read and wrote, up to a place in its log."""

from __future__ import annotations

from emulator.bundle.entries import ADDRESS, HEAD, Kind, head_at

PAGE = 4096


class Recall:
    """Remembers what passed between card and memory in the log ``data``; bytes that never did are zero."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data = data
        self._at = start
        self._pages: dict[int, bytearray] = {}

    def read(self, upto: int, iova: int, size: int) -> bytes:
        """Return ``size`` bytes at ``iova`` as they were at byte ``upto`` of the log, which never goes back."""
        while self._at < upto and (head := head_at(self._data, self._at)) is not None:
            kind, done, _, length = head
            if done and kind in (Kind.DMA_READ, Kind.DMA_WRITE):
                begin = self._at + HEAD.size
                (address,) = ADDRESS.unpack_from(self._data, begin)
                self._store(address, self._data[begin + ADDRESS.size : begin + length])
            self._at += HEAD.size + length
        found = bytearray()
        while len(found) < size:
            number, offset = divmod(iova + len(found), PAGE)
            page = self._pages.get(number) or bytes(PAGE)
            found += page[offset : offset + size - len(found)]
        return bytes(found)

    def _store(self, iova: int, data: memoryview) -> None:
        done = 0
        while done < len(data):
            number, offset = divmod(iova + done, PAGE)
            part = data[done : done + PAGE - offset]
            self._pages.setdefault(number, bytearray(PAGE))[offset : offset + len(part)] = part
            done += len(part)
