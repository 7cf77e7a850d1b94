# SPDX-License-Identifier: BSD-3-Clause
"""What the transmit descriptors ask to be done to a packet's bytes before they leave (82576 7.2.4, 7.2.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import TxContext, TxData, TxLegacy
from device_model.igb.spec.general import CTRL, CTRL_EXT, VET
from device_model.igb.spec.transmit import TCTL
from device_model.packet import vlan
from device_model.packet.checksum import checksum, insert_ipv4_checksum, insert_l4_checksum
from device_model.packet.segment import segment

if TYPE_CHECKING:
    from device_model.regfile import RegisterFile

_SHORTEST = 60
"""The shortest Ethernet frame without its frame check sequence."""
_HEADER = 14
_MOST_SEGMENTS = 4096
"""No stack asks for more (TCP_MIN_MSS over the largest packet); a driver that does gets nothing."""
_FCS = 4
_L4_PROTOCOL = {0: 17, 1: 6, 2: 132}
"""TUCMD.L4T to IP protocol number."""
_ANY_OFFLOAD = TxData.tse.mask | TxData.ixsm.mask | TxData.txsm.mask | TxData.vle.mask
"""What needs the context descriptor."""


@dataclass(frozen=True, slots=True)
class Offload:
    """The registers that matter: VET, CTRL.VME, CTRL_EXT.EXT_VLAN and TCTL.PSP."""

    vlan_ethertype: int
    vlan_insertion: bool
    pad_short: bool
    outer_ethertype: int | None = None

    @classmethod
    def of(cls, regs: RegisterFile) -> Offload:
        """Decode what the registers say now."""
        return cls(
            vlan_ethertype=VET.vet.of(regs.peek(VET)),
            vlan_insertion=bool(CTRL.vme.of(regs.peek(CTRL))),
            pad_short=bool(TCTL.psp.of(regs.peek(TCTL))),
            outer_ethertype=VET.vet_ext.of(regs.peek(VET)) if CTRL_EXT.ext_vlan.of(regs.peek(CTRL_EXT)) else None,
        )


def finish_advanced(data: bytearray, word1: int, context: tuple[int, int], offload: Offload) -> list[bytes]:
    """Return the wire frames of a packet whose first data descriptor's second word is ``word1``."""
    if not word1 & TxData.ifcs.mask:
        data = data[:-_FCS]
    if not word1 & _ANY_OFFLOAD:
        return _padded([bytes(data)], offload)
    word0, context1 = context
    ip_len, mac_len = TxContext.iplen.of(word0), TxContext.maclen.of(word0)
    l4_type = TxContext.l4t.of(context1)
    if TxData.tse.of(word1):
        mss = TxContext.mss.of(context1)
        frames = segment(
            bytes(data),
            mac_len=mac_len,
            ip_len=ip_len,
            l4_len=TxContext.l4len.of(context1),
            mss=mss if mss * _MOST_SEGMENTS >= len(data) else 0,
            payload_len=TxData.paylen.of(word1),
            ipv4=bool(TxContext.ipv4.of(context1)),
            tcp=l4_type == 1,
        )
    else:
        if TxData.ixsm.of(word1):
            insert_ipv4_checksum(data, mac_len, ip_len)
        if TxData.txsm.of(word1) and l4_type in _L4_PROTOCOL:
            insert_l4_checksum(data, mac_len + ip_len, _L4_PROTOCOL[l4_type])
        frames = [bytes(data)]
    if TxData.vle.of(word1) and offload.vlan_insertion:
        tci = TxContext.vlan.of(word0)
        frames = [vlan.insert(frame, offload.vlan_ethertype, tci, offload.outer_ethertype) for frame in frames]
    return _padded(frames, offload)


def finish_legacy(data: bytearray, word1: int, offload: Offload) -> list[bytes]:
    """Return the wire frame of a packet of legacy descriptors (82576 7.2.2.1): CSS, CSO, IC and VLE."""
    if not TxLegacy.ifcs.of(word1):
        data = data[:-_FCS]
    start, offset = TxLegacy.css.of(word1), TxLegacy.cso.of(word1)
    if TxLegacy.ic.of(word1) and offset and start < len(data) and offset + 2 <= len(data):
        data[offset : offset + 2] = checksum(bytes(data[start:])).to_bytes(2, "big")
    frames = [bytes(data)]
    if TxLegacy.vle.of(word1) and offload.vlan_insertion:
        frames = [vlan.insert(frames[0], offload.vlan_ethertype, TxLegacy.vlan.of(word1), offload.outer_ethertype)]
    return _padded(frames, offload)


def _padded(frames: list[bytes], offload: Offload) -> list[bytes]:
    """Drop what is not even an Ethernet header, and pad short frames when TCTL.PSP says so."""
    frames = [frame for frame in frames if len(frame) >= _HEADER]
    return [frame.ljust(_SHORTEST, b"\0") for frame in frames] if offload.pad_short else frames
