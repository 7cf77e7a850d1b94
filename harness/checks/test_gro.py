# SPDX-License-Identifier: BSD-3-Clause
"""GRO: consecutive segments of one connection that are polled together become one skb."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING

import pytest

from device_model.igb.spec.descriptors import RxWriteback
from harness.checks.arrivals import strangers
from harness.checks.bursts import PATIENCE_S, burst, calm, messages, quiet, receive_vector, steer_to
from harness.claims import claim
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.guest.agent import Pending
    from harness.lab import Bound

QUEUE = 3
SEGMENT = 1460
HEADERS = 40
"""IPv4 and TCP without options."""

ETHERNET = 14
ENTRY, EXIT, CORE = "net:napi_gro_receive_entry", "net:napi_gro_receive_exit", "net:netif_receive_skb"
MERGED, MERGED_FREE, HELD, NORMAL = range(4)
"""enum gro_result of include/linux/netdevice.h."""

SOL_PACKET, PACKET_VNET_HDR = 263, 15
VNET_HEADER = struct.Struct("<BBHHHH")
"""struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""

GSO_TCPV4 = 1
ETH_P_ALL = 3


def tap(bound: Bound, frames: int) -> Pending:
    """Begin to receive up to ``frames`` frames of the interface, each behind the header that tells its gso_size."""
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="packet", protocol=ETH_P_ALL)
    agent.call("bind", handle=handle, address=[bound.netif.name, ETH_P_ALL])
    agent.call("setsockopt", handle=handle, level=SOL_PACKET, option=PACKET_VNET_HDR, value=1)
    agent.call("buffers", handle=handle, send=None, receive=16 << 20)
    return agent.start("receive", handle=handle, count=frames, seconds=PATIENCE_S, body=True)


@claim("GRO-01")
@pytest.mark.parametrize("segments", [2, 9, 17])
def test_segments_of_one_poll_become_one_skb(bound: Bound, evidence: Evidence, segments: int) -> None:
    """Two, more than a list of eight, and as many as an skb has fragments; then the same with GRO off."""
    steer_to(bound, QUEUE)
    quiet(bound)
    [flow] = strangers(bound, 1, protocol="tcp")
    frames = list(numbered_frames(flow, segments, SEGMENT))
    payload = b"".join(data[ETHERNET + HEADERS :] for data in frames)
    for on in (True, False):
        if not on:
            bound.netif.settings.set_features(gro=False)
            calm(bound)
        kinds = ("InterruptSent", "RegisterWritten", "RxWriteBack")
        tapping = tap(bound, 1 if on else segments)
        with bound.guest.trace.session(ENTRY, EXIT, CORE) as trace, bound.card.recording(*kinds) as seen:
            burst(bound, seen, QUEUE, frames)
            calm(bound)
        tapped = [base64.b64decode(body) for _, _, _, body in tapping.result(PATIENCE_S + 5)["got"]]
        headers = [VNET_HEADER.unpack_from(data) for data in tapped]
        heard = b"".join(data[VNET_HEADER.size + ETHERNET + HEADERS :] for data in tapped)
        returns = [record["ret"] for record in trace.records if record.name == EXIT]
        lengths = [r["len"] for r in trace.records if r.name == CORE and r["name"] == bound.netif.name]
        written = [RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")]
        announced = len(messages(seen, receive_vector(bound, QUEUE)))
        evidence.note(
            what=f"{segments} segments, GRO {'on' if on else 'off'}",
            guest={"returns": returns, "lengths": lengths, "gso_size": [header[3] for header in headers]},
            device={"write-backs": len(written), "messages": announced},
        )
        assert len(returns) == segments
        if on:
            assert (returns[0], set(returns[1:])) in ((HELD, {MERGED_FREE}), (HELD, {MERGED}))
            assert lengths == [HEADERS + segments * SEGMENT]
            assert [(header[1], header[3]) for header in headers] == [(GSO_TCPV4, SEGMENT)]
        else:
            assert set(returns) == {NORMAL}
            assert lengths == [HEADERS + SEGMENT] * segments
            assert [header[3] for header in headers] == [0] * segments
        assert heard == payload
        assert (len(written), len({slot["rss_hash"] for slot in written}), announced) == (segments, 1, 1)
