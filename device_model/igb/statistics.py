# SPDX-License-Identifier: BSD-3-Clause
"""The card's counters and which frame moves which of them: 82576 data sheet, statistics chapter.

All lengths include the four bytes of the FCS, as on the wire; frames are passed without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec import host_statistics as host
from device_model.igb.spec import statistics as spec
from device_model.igb.spec.receive import RQDPC

if TYPE_CHECKING:
    from device_model.declare import Register
    from device_model.regfile import RegisterFile

    Size = tuple[int, type[Register]]
    Pair = tuple[type[Register], type[Register]]

FCS_BYTES = 4
_MOST = 0xFFFF_FFFF
_BROADCAST = b"\xff" * 6

RECEIVED_SIZES: tuple[Size, ...] = (
    (64, spec.PRC64),
    (127, spec.PRC127),
    (255, spec.PRC255),
    (511, spec.PRC511),
    (1023, spec.PRC1023),
)
TRANSMITTED_SIZES: tuple[Size, ...] = (
    (64, spec.PTC64),
    (127, spec.PTC127),
    (255, spec.PTC255),
    (511, spec.PTC511),
    (1023, spec.PTC1023),
)
PAIRS: tuple[Pair, ...] = (
    (spec.GORCL, spec.GORCH),
    (spec.GOTCL, spec.GOTCH),
    (spec.TORL, spec.TORH),
    (spec.TOTL, spec.TOTH),
    (host.HGORCL, host.HGORCH),
    (host.HGOTCL, host.HGOTCH),
)
"""Byte counters of 64 bits, low half first."""


def size_counter(length: int, sizes: tuple[Size, ...], longest: type[Register]) -> type[Register]:
    """Return the counter for frames of ``length`` bytes: the first of ``sizes`` that holds them, else ``longest``."""
    for limit, counter in sizes:
        if length <= limit:
            return counter
    return longest


class Statistics:
    """The statistics registers. Blocks say what happened to a frame; this class knows what that counts as."""

    def __init__(self, regs: RegisterFile) -> None:
        """Attach the pair rule (the low half is kept when read, the high half clears both) to ``regs``."""
        self._regs = regs
        self._latched: dict[type[Register], int] = {}
        for low, high in PAIRS:
            self._attach(low, high)

    def reset(self) -> None:
        """Forget half-read pairs, after the registers themselves were reset."""
        self._latched.clear()

    # -- receive -------------------------------------------------------------------------------------

    def arrived(self, frame: bytes) -> None:
        """Count a frame that came in from the wire, whatever becomes of it (TPR, TOR)."""
        self._regs.count(spec.TPR)
        self._regs.add_pair(spec.TORL, spec.TORH, len(frame) + FCS_BYTES)

    def received(self, frame: bytes) -> None:
        """Count a good frame that passed the filters and is delivered to the host."""
        length = len(frame) + FCS_BYTES
        self._regs.count(spec.GPRC, host.RPTHC, size_counter(length, RECEIVED_SIZES, spec.PRC1522))
        self._regs.add_pair(spec.GORCL, spec.GORCH, length)
        self._regs.add_pair(host.HGORCL, host.HGORCH, length)
        if frame[0] & 1:
            self._regs.count(spec.BPRC if frame[:6] == _BROADCAST else spec.MPRC)

    def dropped_no_descriptor(self, queue: int) -> None:
        """Count a frame that ``queue`` dropped because it had no descriptor and SRRCTL.drop_en set."""
        self._regs.add(RQDPC, 1, queue)

    def dropped_no_buffer(self) -> None:
        """Count a frame missed because the packet buffer was full of frames that wait for descriptors."""
        self._regs.add(spec.MPC, 1)

    def waited(self) -> None:
        """Count a frame that found no descriptor and went to the packet buffer, whether it fits there or not."""
        self._regs.add(spec.RNBC, 1)

    def ring_low(self) -> None:
        """Count that a receive ring fell to its minimum threshold (SRRCTL.rdmts)."""
        self._regs.add(host.RXDMTC, 1)

    def oversize(self, *, good_crc: bool = True) -> None:
        """Count a frame that was longer than allowed."""
        self._regs.add(spec.ROC if good_crc else spec.RJC, 1)

    def runt(self, *, good_crc: bool = True) -> None:
        """Count a frame that was shorter than 64 bytes."""
        self._regs.add(spec.RUC if good_crc else spec.RFC, 1)

    def crc_error(self) -> None:
        """Count a frame with a bad FCS."""
        self._regs.add(spec.CRCERRS, 1)

    def receive_error(self) -> None:
        """Count a frame during which the PHY signalled an error."""
        self._regs.add(spec.RXERRC, 1)

    def length_error(self) -> None:
        """Count a frame whose length field disagrees with its length."""
        self._regs.add(spec.RLEC, 1)

    def pause_received(self, *, xoff: bool) -> None:
        """Count a flow control frame that was obeyed."""
        self._regs.add(spec.XOFFRXC if xoff else spec.XONRXC, 1)

    def unknown_control_received(self) -> None:
        """Count a MAC control frame with an opcode that is not pause."""
        self._regs.add(spec.FCRUC, 1)

    # -- transmit ------------------------------------------------------------------------------------

    def transmitted(self, frame: bytes) -> None:
        """Count a frame of the host's that left (each segment of a segmented packet is one)."""
        length = len(frame) + FCS_BYTES
        self._regs.count(spec.GPTC, spec.TPT, host.HGPTC, size_counter(length, TRANSMITTED_SIZES, spec.PTC1522))
        self._regs.add_pair(spec.GOTCL, spec.GOTCH, length)
        self._regs.add_pair(spec.TOTL, spec.TOTH, length)
        self._regs.add_pair(host.HGOTCL, host.HGOTCH, length)
        if frame and frame[0] & 1:
            self._regs.count(spec.BPTC if frame[:6] == _BROADCAST else spec.MPTC)

    def segmented(self) -> None:
        """Count a packet that the card cut into segments."""
        self._regs.add(spec.TSCTC, 1)

    def segmentation_failed(self) -> None:
        """Count a packet whose segmentation made no sense."""
        self._regs.add(spec.TSCTFC, 1)

    def pause_sent(self, *, xoff: bool, length: int = 64) -> None:
        """Count a flow control frame that the card itself sent: not a good frame of the host's."""
        self._regs.add(spec.XOFFTXC if xoff else spec.XONTXC, 1)
        self._regs.add(spec.TPT, 1)
        self._regs.add_pair(spec.TOTL, spec.TOTH, length)

    def interrupt_asserted(self) -> None:
        """Count an interrupt."""
        self._regs.add(host.IAC, 1)

    # -- pairs ---------------------------------------------------------------------------------------

    def _attach(self, low: type[Register], high: type[Register]) -> None:
        regs = self._regs

        def total() -> int:
            return regs.peek(high) << 32 | regs.peek(low)

        def read_low(_n: int) -> int:
            self._latched[low] = total()
            return self._latched[low] & _MOST

        def read_high(_n: int) -> int:
            """Take away what was read, so that bytes counted since the low half was read are not lost."""
            taken = self._latched.pop(low, total())
            rest = total() - taken
            regs.poke(low, rest & _MOST)
            regs.poke(high, rest >> 32)
            return taken >> 32

        regs.on_read(low, read_low)
        regs.on_read(high, read_high)
