# SPDX-License-Identifier: BSD-3-Clause
"""The link: what the card offers is what the driver reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from harness import frames
from harness.answers_tcp import answer_tcp
from harness.checks.links import fresh_link
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.dissect import dissect
from harness.lab import PEER_IPV4

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound
    from harness.seen import Seen

UP = re.compile(r"Link is Up (\d+) Mbps (\w+) Duplex, Flow Control: (\S+)")
SPEEDS = {0: 10, 1: 100, 2: 1000, 3: 1000}
OTHER = 0
"""The vector that IVAR_MISC names for causes that belong to no queue (Linux igb_configure_msix)."""

STREAM, SEED = 300_000, 11
RETRIES = 2
TICKS = 3
"""Rounds of the driver's watchdog, 2 s each, in which it reads the counters: each would have found the link gone."""


@claim("LNK-01")
@pytest.mark.one_queue
@pytest.mark.parametrize(
    ("speed", "full", "pause"),
    [(10, False, False), (10, True, False), (100, False, False), (100, True, True), (1000, True, False)],
)
def test_link_comes_up_as_the_partner_offers_it(
    bound: Bound,
    evidence: Evidence,
    speed: int,
    full: bool,
    pause: bool,
) -> None:
    """The partner offers one speed and duplex only, never the pair that was in force before; pause differs too.

    A partner with pause gives RX/TX; with one that offers none igb, asked for full, settles for RX; half duplex never
    has any (Linux igb_config_fc_after_link_up).
    """
    before = bound.guest.proc.log()[-1].sequence
    with bound.card.recording("RegisterRead") as seen:
        bound.card.link_down()
        bound.netif.wait_carrier(present=False, seconds=10)
        bound.card.link_up(speed, full_duplex=full, pause=pause)
        bound.netif.wait_carrier(seconds=10)

        def announced() -> re.Match[str] | None:
            found = [UP.search(record.text) for record in bound.guest.proc.log(before)]
            return next((match for match in reversed(found) if match), None)

        line = wait_until(announced, Deadline.after(10), "the driver's report of the link")
    link = bound.netif.settings.link()
    status = bound.card.register("STATUS")
    told = (int(line[1]), line[2], line[3])
    device = {"speed": SPEEDS[status >> 6 & 3], "full duplex": bool(status & 1), "up": bool(status >> 1 & 1)}
    evidence.note(
        guest={"log": told, "ethtool": (link["speed"], link["duplex"]), "carrier": bound.netif.carrier},
        device={**device, "STATUS reads": len(seen.all(where=lambda event: event.register == "STATUS"))},
    )
    flow_control = "None" if not full else "RX/TX" if pause else "RX"
    assert told == (speed, "Full" if full else "Half", flow_control)
    assert (link["speed"], link["duplex"]) == (speed, "Full" if full else "Half")
    assert device == {"speed": speed, "full duplex": full, "up": True}


@claim("LNK-02")
def test_carrier_follows_the_link_and_a_connection_survives_a_flap(bound: Bound, evidence: Evidence) -> None:
    """The cable is out until TCP has sent again twice in vain; then the stream of 300,000 bytes goes on to its end.

    TCP must not guess that nothing was lost (tcp_frto): the answering peer acknowledges whatever it gets last.
    """
    agent, proc = bound.guest.agent, bound.guest.proc
    proc.set_sysctl("net.ipv4.tcp_frto", 0)
    changes = int(bound.netif.read("carrier_changes"))
    handle = agent.call("open_socket", kind="tcp")
    with bound.peer.answering(answer_tcp), bound.card.recording("LinkChanged", "InterruptSent") as seen:
        agent.call("connect", handle=handle, address=[PEER_IPV4, 5001])
        sent_again = proc.snmp()["TcpRetransSegs"]
        bound.card.link_down()
        bound.netif.wait_carrier(present=False, seconds=10)
        stream = agent.start("send_stream", handle=handle, size=STREAM, seed=SEED, shut=True)
        wait_until(
            lambda: proc.snmp()["TcpRetransSegs"] >= sent_again + RETRIES, Deadline.after(20), "TCP sending again"
        )
        down = int(bound.netif.read("carrier_changes"))
        bound.card.link_up()
        bound.netif.wait_carrier(seconds=10)
        answer = stream.result(30)
        wait_until(
            lambda: agent.call("queued", handle=handle)["out"] == 0, Deadline.after(30), "every byte being acknowledged"
        )
    moved = [event.speed_mbps for event in seen.all("LinkChanged")]
    messages = seen.all("InterruptSent", lambda event: event.vector == OTHER)
    total = arrived_stream(bound)
    evidence.note(
        guest={"carrier_changes": (changes, down, int(bound.netif.read("carrier_changes"))), "sent": answer["sent"]},
        device={"link": moved, "messages": len(messages), "bytes on the wire": total},
    )
    assert moved == [0, 1000]
    assert len(messages) == len(moved)
    assert (down, int(bound.netif.read("carrier_changes"))) == (changes + 1, changes + 2)
    assert answer["sent"] == STREAM
    assert total == STREAM


def arrived_stream(bound: Bound) -> int:
    """Return how many bytes of the one TCP stream came, each counted once."""
    packets = [dissect(arrival.frame) for arrival in bound.peer.arrivals]
    parts = [
        (p.tcp_sequence, p.tcp_sequence + len(p.payload)) for p in packets if p.protocol == frames.TCP and p.payload
    ]
    total, end = 0, 0
    for first, last in sorted(parts):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total


@claim("LNK-03")
def test_without_the_message_the_carrier_is_stale(bound: Bound, evidence: Evidence) -> None:
    """The message of the link that goes is lost; after three rounds of the watchdog it comes after all.

    No cause says so: only the message itself makes the driver read ICR, find LSC there and look at the PHY.
    """
    fresh_link(bound)
    changes = int(bound.netif.read("carrier_changes"))
    bound.card.fault("drop_interrupts", vector=OTHER, count=1)
    with bound.card.recording("LinkChanged", "InterruptSent", "InterruptWithheld", "RegisterRead") as seen:
        bound.card.link_down()
        [gone] = seen.wait(1, kind="LinkChanged")

        def ticks() -> list[Seen]:
            return seen.all("RegisterRead", lambda event: event.register == "GPRC" and event.t_ns > gone.t_ns)

        wait_until(
            lambda: len(ticks()) >= TICKS or not bound.netif.carrier, Deadline.after(60), "rounds of the watchdog"
        )
        stale = bound.netif.carrier, int(bound.netif.read("carrier_changes"))
        lost = seen.all("InterruptWithheld", lambda event: (event.vector, event.why) == (OTHER, "dropped"))
        early = seen.all("InterruptSent", lambda event: event.vector == OTHER)
        linked = bound.card.register("STATUS") >> 1 & 1
        bound.card.fault("spurious_interrupt", vector=OTHER)
        bound.netif.wait_carrier(present=False, seconds=10)
    after = int(bound.netif.read("carrier_changes"))
    evidence.note(
        guest={"carrier without the message": stale, "carrier_changes with it": after},
        device={"link": gone.speed_mbps, "STATUS.LU": linked, "messages lost": len(lost), "rounds": len(ticks())},
    )
    assert (gone.speed_mbps, linked, len(lost), len(early)) == (0, 0, 1, 0)
    assert stale == (True, changes)
    assert after == changes + 1
