# SPDX-License-Identifier: BSD-3-Clause
"""What the receiver says of a frame in its descriptor: type, checksum verdicts, errors (82576 7.1.5.2, 7.1.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.receive import RXCSUM
from device_model.packet.checksum import l4_checksum_ok
from device_model.packet.parse import PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP

if TYPE_CHECKING:
    from device_model.igb.faults import Faults
    from device_model.packet.parse import Parsed

_IPV4, _IPV4_OPTIONS, _IPV6, _IPV6_EXTENSIONS = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_L4_TYPE = {PROTOCOL_TCP: 1 << 4, PROTOCOL_UDP: 1 << 5, PROTOCOL_SCTP: 1 << 6}
_VLAN = 1 << 12
_NFS_PORT = 2049
_NFS = 1 << 7


def packet_type(parsed: Parsed) -> int:
    """Return the packet type: the 13 bits from bit 4 of the descriptor's first dword on."""
    value = 0
    if parsed.is_ipv4:
        value = _IPV4 | (_IPV4_OPTIONS if parsed.ipv4_options else 0)
    elif parsed.is_ipv6:
        value = _IPV6 | (_IPV6_EXTENSIONS if parsed.ipv6_extensions else 0)
    if not parsed.is_fragment:
        value |= _L4_TYPE.get(parsed.l4_protocol, 0)
    if parsed.vlan_tci is not None:
        value |= _VLAN
    return value


def legacy_word(advanced: int, length: int) -> int:
    """Return the second quadword of a legacy descriptor (82576 7.1.4) that says what ``advanced`` says."""
    status, errors, tag = advanced & 0xFF, advanced >> 24 & 0xFF, advanced >> 48
    return length | status << 32 | errors << 40 | tag << 48


def write_back_status(frame: bytes, parsed: Parsed, rxcsum: int, faults: Faults, *, stamped: bool) -> int:
    """Return status and error bits of the second quadword, without DD, EOP, VP and length."""
    if faults.forced_checksum is not None:
        return faults.forced_checksum | faults.force_rx_errors
    status = RxWriteback.ts.mask if stamped else 0
    if parsed.is_ipv4 and rxcsum & RXCSUM.ipofl.mask:
        status |= RxWriteback.ipcs.mask
        if not parsed.ip_header_ok:
            return status | RxWriteback.ipe.mask | faults.force_rx_errors
    if rxcsum & RXCSUM.tuofl.mask and (parsed.l4_protocol != PROTOCOL_SCTP or rxcsum & RXCSUM.crcofl.mask):
        good = l4_checksum_ok(frame, parsed)
        if good is not None:
            status |= RxWriteback.l4cs.mask
            if parsed.l4_protocol == PROTOCOL_UDP:
                status |= RxWriteback.udpcs.mask
            if not good:
                status |= RxWriteback.l4e.mask
    return status | faults.force_rx_errors
