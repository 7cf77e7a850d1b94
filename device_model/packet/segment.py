# SPDX-License-Identifier: BSD-3-Clause
"""Transmit segmentation: one big TCP or UDP packet in, frames for the wire out (82576 data sheet 7.2.4)."""

from struct import Struct

from device_model.packet.checksum import insert_ipv4_checksum, insert_l4_checksum
from device_model.packet.parse import PROTOCOL_TCP, PROTOCOL_UDP

_WORD = Struct(">H")
_SEQUENCE = Struct(">I")
_IPV4_LENGTH_AND_ID = Struct(">HH")

_MINIMUM_MAC = 14
_FLAGS_OFFSET = 13
_FIN_PSH = 0x09
_CWR = 0x80


def segment(
    packet: bytes | bytearray | memoryview,
    *,
    mac_len: int,
    ip_len: int,
    l4_len: int,
    mss: int,
    payload_len: int,
    ipv4: bool,
    tcp: bool,
) -> list[bytes]:
    """Cut a packet into frames of at most mss payload bytes, and complete their headers.

    mac_len, ip_len, l4_len, mss, ipv4 and tcp come from the context descriptor, payload_len from the data descriptor
    (PAYLEN). In a tunnel ip_len spans the outer IP header up to the end of the inner one; lengths, identification and
    header checksum are then the outer header's, whose seed cancels the bytes behind it (Linux igb_tso).

    Each frame gets: IPv4 total length, identification counted up, header checksum; or IPv6 payload length; TCP sequence
    number, FIN and PSH only in the last frame, CWR only in the first; or UDP length; and the L4 checksum from its
    seed, the pseudo header's sum without the length. UDP gives datagrams of their own, not IP fragments.

    A payload_len beyond the packet is cut to it; bytes behind payload_len are left out; no payload gives one frame of
    headers. mss 0, headers shorter than their protocols allow, or headers beyond the packet give no frame at all.
    """
    l4_offset = mac_len + ip_len
    header_len = l4_offset + l4_len
    if (
        mss <= 0
        or mac_len < _MINIMUM_MAC
        or ip_len < (20 if ipv4 else 40)
        or l4_len < (20 if tcp else 8)
        or header_len > len(packet)
    ):
        return []
    header = bytes(packet[:header_len])
    payload = bytes(packet[header_len : header_len + payload_len])
    if tcp:
        (sequence,) = _SEQUENCE.unpack_from(header, l4_offset + 4)
        flags = header[l4_offset + _FLAGS_OFFSET]
    (identification,) = _WORD.unpack_from(header, mac_len + 4)
    last = max(len(payload) - 1, 0) // mss
    protocol = PROTOCOL_TCP if tcp else PROTOCOL_UDP
    frames = []
    for index in range(last + 1):
        start = index * mss
        frame = bytearray(header)
        frame += payload[start : start + mss]
        l4_total = len(frame) - l4_offset
        if ipv4:
            _IPV4_LENGTH_AND_ID.pack_into(
                frame, mac_len + 2, (ip_len + l4_total) & 0xFFFF, (identification + index) & 0xFFFF
            )
            insert_ipv4_checksum(frame, mac_len, ip_len)
        else:
            _WORD.pack_into(frame, mac_len + 4, (ip_len - 40 + l4_total) & 0xFFFF)
        if tcp:
            _SEQUENCE.pack_into(frame, l4_offset + 4, (sequence + start) & 0xFFFFFFFF)
            dropped = (_CWR if index else 0) | (_FIN_PSH if index < last else 0)
            frame[l4_offset + _FLAGS_OFFSET] = flags & ~dropped
        else:
            _WORD.pack_into(frame, l4_offset + 4, l4_total & 0xFFFF)
        insert_l4_checksum(frame, l4_offset, protocol, l4_total)
        frames.append(bytes(frame))
    return frames
