# SPDX-License-Identifier: BSD-3-Clause
"""The settings that ethtool changes: channels, rings, moderation, offloads, receive hashing."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.guest.agent import Agent
    from harness.guest.netif import NetIf
    from harness.guest.undo import Undo

GET_INDIRECTION = 0x38
SET_INDIRECTION = 0x39
SETTING = re.compile(r"^([\w /-]+):\s*(\S+)\s*(\[.*\])?$", re.MULTILINE)
NUMBER = re.compile(r"^\s*([\w -]+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Channels:
    """``ethtool -l``: most and present numbers of combined and other vectors."""

    most_combined: int
    combined: int
    other: int


@dataclass(frozen=True, slots=True)
class Rings:
    """``ethtool -g``: present numbers of descriptors."""

    rx: int
    tx: int


@dataclass(frozen=True, slots=True)
class Feature:
    """An offload switch of ``ethtool -k``."""

    on: bool
    fixed: bool


class Settings:
    """The ethtool settings of one interface; each setter remembers the former state."""

    def __init__(self, netif: NetIf, agent: Agent, undo: Undo) -> None:
        self._netif = netif
        self._agent = agent
        self._undo = undo

    # channels and rings

    def channels(self) -> Channels:
        """Return the vectors."""
        top, now = halves(self._netif.ethtool("-l").out)
        return Channels(top.get("Combined", 0), now.get("Combined", 0), now.get("Other", 0))

    def set_channels(self, combined: int) -> None:
        """Set the number of combined channels (igb: queues; resets the rings).

        ethtool refuses fewer channels than a table set by hand names, even if that table has been brought back to what
        it was (net/ethtool/channels.c, netif_is_rxfh_configured); such a table is given up first.
        """
        before = self.channels().combined
        self._undo.remember(("channels", self._netif.name), lambda: self._change_channels(before))
        self._change_channels(combined)

    def _change_channels(self, combined: int) -> None:
        if self.channels().combined == combined:
            return
        if self._netif.ethtool("-L", "combined", combined, check=False).rc != 0:
            self._netif.ethtool("-X", "default")
            self._netif.ethtool("-L", "combined", combined)

    def rings(self) -> Rings:
        """Return the ring sizes."""
        _, now = halves(self._netif.ethtool("-g").out)
        return Rings(now["RX"], now["TX"])

    def set_rings(self, rx: int | None = None, tx: int | None = None) -> None:
        """Set ring sizes."""
        before = self.rings()
        words = ("rx", before.rx, "tx", before.tx)
        self._undo.remember(("rings", self._netif.name), lambda: self._restore_rings(before, words))
        wanted = [*(("rx", rx) if rx is not None else ()), *(("tx", tx) if tx is not None else ())]
        self._netif.ethtool("-G", *wanted)

    def _restore_rings(self, before: Rings, words: Sequence[object]) -> None:
        if self.rings() != before:
            self._netif.ethtool("-G", *words)

    # moderation

    def coalescing(self) -> dict[str, int]:
        """Return ``ethtool -c`` as numbers by name (rx-usecs, tx-usecs, …)."""
        return {name.strip(): int(value) for name, value in NUMBER.findall(self._netif.ethtool("-c").out)}

    def set_coalescing(self, **values: int) -> None:
        """Set moderation, as ``rx_usecs=50``."""
        before = self.coalescing()
        names = {name: name.replace("_", "-") for name in values}
        for name in names.values():
            if name not in before:
                raise UsageError(f"coalescing must be one of {sorted(before)}, not {name!r}")
            former = before[name]
            self._undo.remember(("coalesce", name), partial(self._restore_coalescing, name, former))
        words = [word for name, value in values.items() for word in (names[name], value)]
        self._netif.ethtool("-C", *words)

    def _restore_coalescing(self, name: str, value: int) -> None:
        if self.coalescing().get(name, value) != value:
            self._netif.ethtool("-C", name, value)

    # offloads

    def features(self) -> dict[str, Feature]:
        """Return ``ethtool -k``."""
        found = SETTING.findall(self._netif.ethtool("-k").out.replace("\t", ""))
        return {name: Feature(state == "on", "fixed" in note) for name, state, note in found}

    def set_features(self, **switches: bool) -> None:
        """Switch offloads, as ``gro=False`` or ``rx_all=True`` (ethtool's short names); without any, only remember."""
        words: list[object] = []
        for name, on in switches.items():
            words += [name.replace("_", "-"), "on" if on else "off"]
        before = {name: feature.on for name, feature in self.features().items() if not feature.fixed}
        self._undo.remember(("features", self._netif.name), lambda: self._restore_features(before))
        if words:
            self._netif.ethtool("-K", *words)

    def _restore_features(self, before: dict[str, bool]) -> None:
        now = self.features()
        words = [word for n, on in before.items() if now[n].on != on for word in (n, "on" if on else "off")]
        if words:
            self._netif.ethtool("-K", *words)

    # receive hashing

    def indirection(self) -> list[int]:
        """Return the indirection table."""
        size = struct.unpack_from("<II", self._ioctl(struct.pack("<II", GET_INDIRECTION, 0)))[1]
        data = self._ioctl(struct.pack("<II", GET_INDIRECTION, size) + bytes(4 * size))
        return list(struct.unpack_from(f"<{size}I", data, 8))

    def set_indirection(self, table: Sequence[int]) -> None:
        """Set the indirection table, entry by entry (``ethtool -X`` itself can only do patterns)."""
        before = self.indirection()
        if len(table) != len(before):
            raise UsageError(f"an indirection table must have {len(before)} entries, not {len(table)}")
        self._undo.remember(("indirection", self._netif.name), lambda: self._write_indirection(before))
        self._write_indirection(table)

    def _write_indirection(self, table: Sequence[int]) -> None:
        self._ioctl(struct.pack(f"<II{len(table)}I", SET_INDIRECTION, len(table), *table))

    def default_indirection(self) -> None:
        """``ethtool -X NAME default``."""
        before = self.indirection()
        self._undo.remember(("indirection", self._netif.name), lambda: self._write_indirection(before))
        self._netif.ethtool("-X", "default")

    def _ioctl(self, data: bytes) -> bytes:
        return self._agent.ethtool_ioctl(self._netif.name, data)

    def flow_hash(self, kind: str) -> str:
        """Return what ``ethtool -n NAME rx-flow-hash KIND`` prints."""
        return self._netif.ethtool("-n", "rx-flow-hash", kind).out

    def set_flow_hash(self, kind: str, letters: str) -> None:
        """``ethtool -N NAME rx-flow-hash KIND LETTERS`` (sd: addresses; sdfn: with ports)."""
        before = "sdfn" if "L4" in self.flow_hash(kind) else "sd"
        restore = ("rx-flow-hash", kind, before)
        self._undo.remember(("flow-hash", kind), lambda: self._netif.ethtool("-N", *restore))
        self._netif.ethtool("-N", "rx-flow-hash", kind, letters)

    # the rest

    def driver(self) -> dict[str, str]:
        """Return ``ethtool -i``."""
        lines = (line.partition(":") for line in self._netif.ethtool("-i").out.splitlines())
        return {name: value.strip() for name, _, value in lines}

    def link(self) -> dict[str, Any]:
        """Return ``ethtool --json NAME``."""
        found: list[dict[str, Any]] = json.loads(self._netif.tool("ethtool", "--json", self._netif.name).out)
        return found[0]

    def self_test(self, *, offline: bool = True, seconds: float = 60.0) -> tuple[bool, dict[str, int]]:
        """Run ``ethtool -t``; return whether it passed, and the value of each test.

        The tests are register, eeprom, interrupt, loopback and link; 0 is success.
        """
        done = self._netif.ethtool("-t", "offline" if offline else "online", check=False, seconds=seconds)
        found = re.finditer(r"^(\w+) test +\(.+?\)\s+(\d+)$", done.out, re.MULTILINE)
        values = {match[1].lower(): int(match[2]) for match in found}
        return done.rc == 0 and "PASS" in done.out, values

    def registers(self) -> bytes:
        """Return ``ethtool -d NAME raw on``, byte by byte as the driver dumped it."""
        pipeline = f"ethtool -d {self._netif.name} raw on | xxd -p"
        return bytes.fromhex(self._netif.tool("sh", "-c", pipeline).out)


def halves(text: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the two tables of ``ethtool -l`` and ``-g``: the most possible, and the present."""
    top, _, now = text.partition("Current hardware settings:")
    return ({n.strip(): int(v) for n, v in NUMBER.findall(top)}, {n.strip(): int(v) for n, v in NUMBER.findall(now)})
