# SPDX-License-Identifier: BSD-3-Clause
"""Ingress: which frames the card lets in, and what it takes off them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.general import CTRL
from device_model.igb.spec.receive import RCTL
from harness import frames
from harness.checks.arrivals import ENTRY, ETHERNET_HEADER, deliver, strangers, told
from harness.checks.bursts import calm
from harness.checks.links import fresh_link
from harness.checks.vlans import add_vlan
from harness.claims import claim
from harness.traffic import frame, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound

TAG = 4
FCS = 4
EXPERIMENTAL = 0x88B5
"""EtherType for local experiments (IEEE 802): nobody handles it."""

JOINED, UNJOINED = frames.mac("01:00:5e:41:02:03"), frames.mac("01:00:5e:7e:71:17")
UNTAG = "skb_vlan_untag"
FOREIGN = frames.mac("52:54:00:aa:bb:cc")


def passed(bound: Bound, sent: Sequence[bytes]) -> tuple[list[int], list[int], dict[int, str]]:
    """Send frames of different lengths; return lengths that GRO saw, that the card stored, and why it dropped others.

    Lengths are those of the frames in memory, without a tag that the card has stripped.
    """
    with (
        bound.guest.trace.session(ENTRY) as trace,
        bound.card.recording("FrameDelivered", "FrameDropped") as seen,
    ):
        deliver(bound, sent)
    guest = [r["len"] + ETHERNET_HEADER for r in trace.records if r["name"] == bound.netif.name]
    dropped = {event.length: event.reason for event in seen.all("FrameDropped")}
    return guest, [event.length for event in seen.all("FrameDelivered")], dropped


@claim("ING-07")
def test_frame_over_rlpml_never_reaches_memory(bound: Bound, evidence: Evidence) -> None:
    """RLPML counts the frame check sequence: the longest frame that fits passes, one byte more does not."""
    fresh_link(bound)
    [flow] = strangers(bound, 1, protocol="udp")
    limit = bound.card.register("RLPML")
    assert limit == 1536
    before = bound.netif.statistics()["rx_long_length_errors"]
    fits = limit - FCS
    for number, length in enumerate((fits, fits + 1, 2000, 9000)):
        sent = frame(flow, numbered(flow.number, number, length - 42))
        assert len(sent) == length
        guest, stored, dropped = passed(bound, [sent])
        errors = bound.netif.statistics()["rx_long_length_errors"] - before
        evidence.note(what=f"frame of {length} bytes", guest={"skbs": guest, "errors": errors}, device=dropped)
        if length == fits:
            assert (guest, stored, dropped, errors) == ([length], [length], {}, 0)
        else:
            assert (guest, stored, dropped, errors) == ([], [], {length: "oversize"}, number)


@claim("ING-13")
def test_tag_is_stripped_and_frame_lands_on_its_vlan_device(bound: Bound, evidence: Evidence) -> None:
    """VIDs whose bytes are another VID when exchanged, and priorities: 0x123 in either order, and the last one."""
    devices = {vid: add_vlan(bound, vid) for vid in (0x123, 0x301, 4094)}
    assert bound.card.register("CTRL") & CTRL.vme.mask
    [flow] = strangers(bound, 1, protocol="udp")
    tags = {0x123: 5 << 13 | 0x123, 0x301: 0x301, 4094: 7 << 13 | 4094}
    sent = [
        told(replace(flow, number=n, vlans=(tags[vid],))) for n, vid in enumerate([0x123] * 3 + [0x301] * 2 + [4094])
    ]
    before = {vid: device.counter("rx_packets") for vid, device in devices.items()}
    with bound.guest.trace.session(ENTRY) as trace, bound.card.recording("RxWriteBack") as seen:
        deliver(bound, sent)
    counted = {vid: device.counter("rx_packets") - before[vid] for vid, device in devices.items()}
    skbs = sorted((r["len"] + ETHERNET_HEADER, r["vlan_tagged"], r["vlan_tci"]) for r in trace.records)
    slots = [RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")]
    written = [(slot["length"], slot["vp"], slot["vlan"]) for slot in slots]
    evidence.note(guest={"skbs": skbs, "rx_packets": counted}, device=written)
    wanted = [(len(data) - TAG, 1, int.from_bytes(data[14:16], "big")) for data in sent]
    assert counted == {0x123: 3, 0x301: 2, 4094: 1}
    assert skbs == wanted
    assert written == wanted


@claim("ING-14")
def test_without_the_offload_the_stack_takes_the_tag_off(bound: Bound, evidence: Evidence) -> None:
    """Nine frames with a priority, first with the offload and then without: the VLAN device counts the same."""
    device = add_vlan(bound, 0x123)
    [flow] = strangers(bound, 1, protocol="udp")
    sent = [told(replace(flow, number=n, vlans=(5 << 13 | 0x123,))) for n in range(9)]
    counts = []
    for offload in (True, False):
        if not offload:
            bound.netif.settings.set_features(rxvlan=False)
        before = [device.counter(name) for name in ("rx_packets", "rx_bytes")]
        with (
            bound.guest.trace.session(ENTRY, functions=[UNTAG]) as trace,
            bound.card.recording("RxWriteBack") as seen,
        ):
            deliver(bound, sent)
            calm(bound)
        now = [device.counter(name) for name in ("rx_packets", "rx_bytes")]
        counts.append([after - then for after, then in zip(now, before, strict=True)])
        untagged = len([record for record in trace.records if record.fields.get("function") == UNTAG])
        skbs = [(r["len"] + ETHERNET_HEADER, r["vlan_tagged"]) for r in trace.records if r.name == ENTRY]
        slots = [RxWriteback.decode(event.raw) for event in seen.all("RxWriteBack")]
        written = [(slot["length"], slot["vp"]) for slot in slots]
        vme = bool(bound.card.register("CTRL") & CTRL.vme.mask)
        evidence.note(
            what=f"rxvlan {'on' if offload else 'off'}",
            guest={"skb_vlan_untag": untagged, "skbs": skbs, "VLAN device": counts[-1]},
            device={"VME": vme, "written": written},
        )
        assert vme is offload
        assert untagged == (0 if offload else len(sent))
        assert written == [(len(data) - TAG * offload, int(offload)) for data in sent]
        assert skbs == written
    assert counts[0] == counts[1]
    assert counts[1][0] == len(sent)


@claim("ING-15")
def test_only_vlans_of_the_filter_table_pass(bound: Bound, evidence: Evidence) -> None:
    """A known and an unknown VID in one word of VFTA, and no tag; then the same in promiscuous mode."""
    add_vlan(bound, 10)
    [flow] = strangers(bound, 1, protocol="udp")
    known, unknown, untagged = (
        told(replace(flow, number=n, vlans=vlans)) for n, vlans in enumerate(((10,), (11,), ()))
    )
    words = bound.card.register("VFTA", 0)
    for promiscuous in (False, True):
        if promiscuous:
            switch(bound, "promisc")
        guest, stored, dropped = passed(bound, [known, unknown, untagged])
        filtering = bool(bound.card.register("RCTL") & RCTL.vfe.mask)
        evidence.note(
            what="promiscuous" if promiscuous else "normal",
            guest=sorted(guest),
            device={"VFE": filtering, "VFTA[0]": f"{words:08x}", "dropped": dropped},
        )
        assert filtering is not promiscuous
        assert words >> 10 & 3 == 1
        wanted = [len(known) - TAG, *([len(unknown) - TAG] if promiscuous else []), len(untagged)]
        assert guest == stored == wanted
        assert dropped == ({} if promiscuous else {len(unknown): "vlan"})


@claim("ING-16")
def test_mac_filters_follow_the_interfaces_mode(bound: Bound, evidence: Evidence) -> None:
    """One frame of each class, told by its length, in each mode; the two groups have different bits of MTA."""
    bound.netif.ip("maddr", "add", "01:00:5e:41:02:03", "dev", bound.netif.name)
    way_back = ("maddr", "del", "01:00:5e:41:02:03", "dev", bound.netif.name)
    bound.guest.undo.remember("maddr", lambda: bound.netif.ip(*way_back))
    classes = {
        "own": frames.mac(bound.netif.mac), "broadcast": bytes([255] * 6), "joined": JOINED, "unjoined": UNJOINED,
        "foreign": FOREIGN,
    }  # fmt: skip
    sent = {
        name: frames.ethernet(mac, bound.peer.station.mac, EXPERIMENTAL, bytes(50 + at))
        for at, (name, mac) in enumerate(classes.items())
    }
    names = {len(data): name for name, data in sent.items()}
    always = ["own", "broadcast", "joined"]
    modes = {"normal": always, "allmulticast": [*always, "unjoined"], "promisc": list(classes)}
    for mode, wanted in modes.items():
        if mode != "normal":
            switch(bound, mode)
        guest, stored, dropped = passed(bound, list(sent.values()))
        evidence.note(
            what=mode,
            guest=[names.get(length, str(length)) for length in guest],
            device={"dropped": {names[length]: why for length, why in dropped.items()}},
        )
        assert [names[length] for length in guest] == wanted
        assert stored == guest
        assert dropped == {len(data): "address" for name, data in sent.items() if name not in wanted}


def switch(bound: Bound, mode: str) -> None:
    """Switch ``promisc`` or ``allmulticast`` on, until the check is over."""
    bound.netif.ip("link", "set", "dev", bound.netif.name, mode, "on")
    bound.guest.undo.remember(mode, lambda: bound.netif.ip("link", "set", "dev", bound.netif.name, mode, "off"))
