# SPDX-License-Identifier: BSD-3-Clause
"""Flow control: what ethtool asks for reaches the card, and pause frames do their work both ways."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from device_model.igb.spec.general import CTRL, STATUS
from harness import frames
from harness.checks.arrivals import BATCH, strangers
from harness.checks.bursts import PATIENCE_S, receive_vector, steer_to
from harness.checks.links import fresh_link, replug
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.lab import PEER_IPV4
from harness.traffic import numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Recording, Seen

MAC_CONTROL, PAUSE = 0x8808, 1
PAUSE_DESTINATION = bytes.fromhex("0180c2000001")
SLOW_MBPS = 10
QUANTUM_NS = 51_200
"""512 bit times at 10 Mb/s: a pause of 65535 quanta lasts 3.4 s there."""

LONG, SHORT = 0xFFFF, 20_000
DATAGRAMS = 3
RECEIVED_QUEUE = 2
RING = 256
WAITING = 45
"""Frames of 1442 bytes beyond a full ring: more than FCRTH (54 KB for an MTU of 1500), less than the 64 KiB buffer."""

PAYLOAD = 1400


@claim("LNK-05")
def test_flow_control_settings_reach_the_card(bound: Bound, evidence: Evidence) -> None:
    """Settings without negotiation go to CTRL as they are, each unlike the one before; `ethtool -a` reads them back."""
    wanted = [("on", "off"), ("off", "on"), ("off", "off"), ("on", "on")]
    found, read_back = [], []
    bound.guest.undo.remember("pause", lambda: bound.netif.ethtool("-A", "autoneg", "on", check=False))
    for receive, send in wanted:
        bound.netif.ethtool("-A", "autoneg", "off", "rx", receive, "tx", send)
        ctrl = bound.card.register("CTRL")
        found.append(tuple("on" if field.of(ctrl) else "off" for field in (CTRL.rfce, CTRL.tfce)))
        told = dict(line.split(":") for line in bound.netif.ethtool("-a").out.splitlines() if line.count(":") == 1)
        read_back.append((told["RX"].strip(), told["TX"].strip()))
    evidence.note(guest={"ethtool -a": read_back}, device={"CTRL RFCE, TFCE": found})
    assert found == wanted
    assert read_back == wanted


@claim("LNK-05")
def test_the_card_stops_for_a_pause_frame(bound: Bound, evidence: Evidence) -> None:
    """At 10 Mb/s one pause is ended by XON while three datagrams wait for it, another runs out by itself.

    What the driver rang for during a pause leaves after the pause, by the card's own clock.
    """
    replug(bound, SLOW_MBPS)
    wait_until(lambda: CTRL.rfce.of(bound.card.register("CTRL")), Deadline.after(PATIENCE_S), "CTRL.RFCE")
    before = bound.netif.statistics()
    handle = bound.guest.agent.call("open_socket", kind="udp")
    with bound.card.recording("PauseFrame", "RegisterWritten", "FrameEmitted") as seen:
        held = hold(bound, seen, handle, LONG)
        shown = bool(STATUS.txoff.of(bound.card.register("STATUS")))
        bound.peer.send(pause(bound.peer.station.mac, 0))
        go = seen.wait(2, kind="PauseFrame")[1]
        first = seen.wait(DATAGRAMS, kind="FrameEmitted")
        again = hold(bound, seen, handle, SHORT)
        second = seen.wait(2 * DATAGRAMS, kind="FrameEmitted")[DATAGRAMS:]
    stop = seen.all("PauseFrame")[2]
    after = bound.netif.statistics()
    counts = {name: after[f"rx_flow_control_{name}"] - before[f"rx_flow_control_{name}"] for name in ("xoff", "xon")}
    evidence.note(
        guest={"ethtool -S": counts},
        device={"STATUS.TXOFF": shown, "pause frames": [event.quanta for event in seen.all("PauseFrame")]},
    )
    assert [event.quanta for event in seen.all("PauseFrame")] == [LONG, 0, SHORT]
    assert shown
    assert held < go.t_ns, "the doorbells were rung during the pause"
    assert all(event.t_ns >= go.t_ns for event in first)
    ends = stop.t_ns + SHORT * QUANTUM_NS
    assert again < ends, "the doorbells were rung during the pause"
    assert all(event.t_ns >= ends for event in second)
    assert counts == {"xoff": 2, "xon": 1}


def pause(station: bytes, quanta: int) -> bytes:
    """Return the pause frame that ``station`` sends (IEEE 802.3 annex 31B)."""
    return frames.pad(frames.ethernet(PAUSE_DESTINATION, station, MAC_CONTROL, struct.pack("!HH", PAUSE, quanta)))


def hold(bound: Bound, seen: Recording, handle: int, quanta: int) -> int:
    """Pause the card, let the guest send, and return when (card's clock) the driver rang for the first packet.

    The others wait in the queue: of byte queue limits that were reset with the link, one packet is the limit.
    """

    def rung(event: Seen) -> bool:
        return bool(event.register.startswith("TDT["))

    paused = len(seen.all("PauseFrame"))
    bound.peer.send(pause(bound.peer.station.mac, quanta))
    seen.wait(paused + 1, kind="PauseFrame")
    bells = len(seen.all("RegisterWritten", rung))
    bound.guest.agent.call("send_numbered", handle=handle, count=DATAGRAMS, size=200, address=[PEER_IPV4, 9])
    return seen.wait(bells + 1, kind="RegisterWritten", where=rung)[bells].t_ns


@claim("LNK-05")
def test_the_card_asks_for_a_pause_when_the_driver_falls_behind(bound: Bound, evidence: Evidence) -> None:
    """256 frames fill the ring and 45 the packet buffer beyond FCRTH: XOFF, and XON after the driver has caught up."""
    fresh_link(bound)
    steer_to(bound, RECEIVED_QUEUE)
    registers = bound.card.registers("CTRL", "FCRTH", "FCRTL", "FCTTV", f"SRRCTL[{RECEIVED_QUEUE}]")
    before = bound.netif.statistics()
    packets = bound.netif.queue_packets()
    [flow] = strangers(bound, 1, protocol="udp")
    sent = list(numbered_frames(flow, RING - 1 + WAITING, PAYLOAD))
    vector = receive_vector(bound, RECEIVED_QUEUE)
    bound.card.hold_interrupts(vector)
    with bound.card.recording("PauseFrame", "FrameDelivered", "FrameDropped") as seen:
        for start in range(0, len(sent), BATCH):
            bound.peer.send(*sent[start : start + BATCH])
        [xoff] = bound.peer.expect(1, is_pause, Deadline.after(PATIENCE_S))
        waiting = len(sent) - len(seen.wait(RING - 1, Deadline.after(PATIENCE_S), kind="FrameDelivered"))
        bound.card.release_interrupts(vector)
        [xon] = bound.peer.expect(1, is_pause, Deadline.after(PATIENCE_S))
        seen.wait(len(sent), Deadline.after(PATIENCE_S), kind="FrameDelivered")
        bound.netif.wait_statistic(f"rx_queue_{RECEIVED_QUEUE}_packets", packets[RECEIVED_QUEUE] + len(sent), 10)
    after = bound.netif.statistics()
    counts = {name: after[f"tx_flow_control_{name}"] - before[f"tx_flow_control_{name}"] for name in ("xoff", "xon")}
    station = frames.mac(bound.netif.mac)
    evidence.note(
        guest={"ethtool -S": counts, "received": (bound.netif.queue_packets() - packets)[RECEIVED_QUEUE]},
        device={"registers": {name: f"{value:08x}" for name, value in registers.items()}, "waiting": waiting},
    )
    assert CTRL.tfce.of(registers["CTRL"])
    assert registers[f"SRRCTL[{RECEIVED_QUEUE}]"] >> 31 == 0, (
        "no Drop_En: with flow control frames wait (igb_setup_srrctl)"
    )
    assert xoff == pause(station, registers["FCTTV"])
    assert xon == pause(station, 0)
    assert [(event.sent, event.quanta) for event in seen.all("PauseFrame")] == [(True, registers["FCTTV"]), (True, 0)]
    assert seen.all("FrameDropped") == []
    assert counts == {"xoff": 1, "xon": 1}


def is_pause(frame: bytes) -> bool:
    """Tell whether a frame on the wire is MAC control."""
    return frame[12:14] == MAC_CONTROL.to_bytes(2, "big")
