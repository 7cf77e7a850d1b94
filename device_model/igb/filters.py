# SPDX-License-Identifier: BSD-3-Clause
"""Which frames the receiver takes, and which queue they go to (82576 7.1.1, 7.1.2, 8.10).

The registers are decoded once after a change, not once a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from device_model.igb.spec.filters import ETQF, MTA, RAH, RAH_HIGH, RAL, RAL_HIGH, VFTA
from device_model.igb.spec.general import CTRL, CTRL_EXT, FCAH, FCAL, FCT, VET
from device_model.igb.spec.receive import MRQC, RCTL, RETA, RFCTL, RLPML, RSSRK
from device_model.packet import accept, vlan
from device_model.packet.toeplitz import RssFields, RssType, Toeplitz, classify, hash_input

if TYPE_CHECKING:
    from device_model.packet.parse import Parsed
    from device_model.regfile import RegisterFile

_FCS = 4
_LONGEST = 9728
"""The longest frame that the 82576 can handle at all, with its frame check sequence."""
_RSS_MODE = 2
_FLOWS = 1024
"""Flows whose hash is remembered."""
_ADDRESSES = (RAL, RAH, RAL_HIGH, RAH_HIGH, MTA)
_FLOW_CONTROL = (CTRL, FCAL, FCAH, FCT)
_WATCHED = (*_ADDRESSES, *_FLOW_CONTROL, RCTL, RLPML, RFCTL, VFTA, VET, CTRL_EXT, MRQC, RETA, RSSRK, ETQF)


class Steering(NamedTuple):
    """Where a frame goes and why: the queue, and the RSS type and hash that the descriptor reports."""

    queue: int
    rss_type: int
    rss_hash: int


class Filters:
    """Acceptance and steering."""

    def __init__(self, regs: RegisterFile) -> None:
        """Watch the registers that matter."""
        self._regs = regs
        self._stale = True
        self._flows: dict[tuple[object, ...], Steering] = {}
        for reg in _WATCHED:
            regs.on_write(reg, self._changed)
        self._decode()

    def invalidate(self) -> None:
        """Look at all registers again: something changed them without a write (a reset)."""
        self._stale = True

    def _changed(self, _n: int, _old: int, _new: int) -> None:
        self._stale = True

    def _decode(self) -> None:
        self._stale = False
        self._flows.clear()
        regs = self._regs
        self._rctl = regs.peek(RCTL)
        self._flow_control = bool(regs.peek(CTRL) & CTRL.rfce.mask)
        self._pause_address = regs.peek(FCAL).to_bytes(4, "little") + regs.peek(FCAH).to_bytes(2, "little")
        self._pause_type = regs.peek(FCT)
        self._max_long = min(RLPML.rlpml.of(regs.peek(RLPML)), _LONGEST)
        self.vlan_ethertype = regs.peek(VET) & 0xFFFF
        double = regs.peek(CTRL_EXT) & CTRL_EXT.ext_vlan.mask
        self._outer_ethertype = VET.vet_ext.of(regs.peek(VET)) if double else None
        self._exact = {
            regs.peek(low, n).to_bytes(4, "little") + (regs.peek(high, n) & 0xFFFF).to_bytes(2, "little")
            for low, high in ((RAL, RAH), (RAL_HIGH, RAH_HIGH))
            for n in range(low.count)
            if regs.peek(high, n) & RAH.av.mask
        }
        self._station = regs.peek(RAL).to_bytes(4, "little") + (regs.peek(RAH) & 0xFFFF).to_bytes(2, "little")
        mrqc = regs.peek(MRQC)
        self._rss_on = MRQC.enable.of(mrqc) == _RSS_MODE
        self._default_queue = MRQC.def_q.of(mrqc)
        self._fields = RssFields.from_mrqc(mrqc, bool(regs.peek(RFCTL) & RFCTL.ipv6_ex_dis.mask))
        key = b"".join(regs.peek(RSSRK, n).to_bytes(4, "little") for n in range(RSSRK.count))
        if getattr(self, "_key", None) != key:
            self._key = key
            self._toeplitz = Toeplitz(key)
        self._reta = b"".join(regs.peek(RETA, n).to_bytes(4, "little") for n in range(RETA.count))
        self._ethertype_queues = {}
        for n in range(ETQF.count):
            etqf = regs.peek(ETQF, n)
            if etqf & ETQF.filter_enable.mask and etqf & ETQF.queue_enable.mask:
                self._ethertype_queues[ETQF.ethertype.of(etqf)] = ETQF.rx_queue.of(etqf)

    # -- acceptance --------------------------------------------------------------------------------------

    def outer_tag(self, frame: bytes) -> bytes:
        """Return the outer one of two VLAN tags, if CTRL_EXT.ext_vlan says that there may be one (8.2.3)."""
        if self._stale:
            self._decode()
        return vlan.outer_tag(frame, self._outer_ethertype)

    def refusal(self, frame: bytes) -> str | None:
        """Return why the frame (no FCS) must be dropped, or None.

        Size comes first: RLPML is all that guards what lies behind the driver's buffers (Linux igb_set_rx_mode).
        """
        if self._stale:
            self._decode()
        rctl, length = self._rctl, len(frame) + _FCS
        longest = self._max_long if rctl & RCTL.lpe.mask else accept.maximum_length(frame, self.vlan_ethertype)
        if length > longest:
            return "oversize"
        frame = vlan.without(frame, self.outer_tag(frame))
        ethertype = frame[12] << 8 | frame[13]
        if ethertype == accept.ETHERTYPE_MAC_CONTROL:
            return self._mac_control_refusal(frame)
        if not self._address_accepted(frame[:6]):
            return "address"
        if ethertype == self.vlan_ethertype and rctl & RCTL.vfe.mask:
            vid = accept.vlan_id(int.from_bytes(frame[14:16], "big"))
            if not self._regs.peek(VFTA, vid >> 5) >> (vid & 31) & 1:
                return "vlan"
        return None

    def asks_for_pause(self, frame: bytes) -> bool:
        """Tell whether the frame is a pause frame by FCAL, FCAH and FCT, and CTRL.rfce says to obey it (8.5)."""
        if self._stale:
            self._decode()
        return self._flow_control and self._is_pause(frame)

    def _is_pause(self, frame: bytes) -> bool:
        return accept.is_pause(frame, self._station, self._pause_address, self._pause_type)

    def _mac_control_refusal(self, frame: bytes) -> str | None:
        pause = self._is_pause(frame)
        if pause and self._flow_control and self._rctl & RCTL.dpf.mask:
            return "pause"
        if self._rctl & RCTL.pmcf.mask:
            return None
        if pause:
            return "pause" if self._flow_control else "mac-control"
        return None if self._address_accepted(frame[:6]) else "mac-control"

    def _address_accepted(self, destination: bytes) -> bool:
        rctl = self._rctl
        if destination[0] & 1:
            if accept.is_broadcast(destination):
                return bool(rctl & RCTL.bam.mask)
            if rctl & RCTL.mpe.mask or destination in self._exact:
                return True
            hashed = accept.multicast_hash(destination, RCTL.mo.of(rctl))
            return bool(self._regs.peek(MTA, hashed >> 5) >> (hashed & 31) & 1)
        return bool(rctl & RCTL.upe.mask) or destination in self._exact

    # -- steering ----------------------------------------------------------------------------------------

    def steer(self, parsed: Parsed) -> Steering:
        """Choose the queue: EtherType filter, then RSS, then MRQC's default queue (82576 7.1.1)."""
        if self._stale:
            self._decode()
        if parsed.ethertype in self._ethertype_queues:
            return Steering(self._ethertype_queues[parsed.ethertype], 0, 0)
        if not self._rss_on:
            return Steering(self._default_queue, 0, 0)
        flow = (
            parsed.source,
            parsed.destination_ip,
            parsed.source_port,
            parsed.destination_port,
            parsed.l4_protocol,
            parsed.is_fragment,
            parsed.ipv6_extensions,
            parsed.ipv6_ex_addresses,
        )
        known = self._flows.get(flow)
        if known is None:
            if len(self._flows) >= _FLOWS:
                self._flows.clear()
            known = self._flows[flow] = self._hashed(parsed)
        return known

    def _hashed(self, parsed: Parsed) -> Steering:
        rss_type = classify(parsed, self._fields)
        if rss_type is RssType.NONE:
            return Steering(0, 0, 0)
        rss_hash = self._toeplitz.hash(hash_input(parsed, rss_type))
        return Steering(self._reta[rss_hash & 0x7F] & 0xF, int(rss_type), rss_hash)
