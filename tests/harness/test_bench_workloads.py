# SPDX-License-Identifier: BSD-3-Clause
"""What workloads send, and how they read what the guest's programs say."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from harness import frames
from harness.bench import namespace
from harness.bench.pktgen import Generated, Transmit, devices, parse
from harness.bench.receive import FLOWS, flood
from harness.bench.tcp import parse_iperf3, parse_ping
from harness.bench.wirings import DISCARD, PARTNER_MAC, Taps, address_of, mac_of, partner_of
from harness.dissect import dissect
from harness.errors import EnvironmentLacks, GuestFault

if TYPE_CHECKING:
    from harness.bench.rig import Side

SETTINGS = """\
Params: count 1000  min_pkt_size: 60  max_pkt_size: 60
     frags: 0  delay: 0  clone_skb: 1000000  ifname: eth0
     udp_src_min: 9  udp_src_max: 9  udp_dst_min: 9  udp_dst_max: 9
Current:
     pkts-sofar: 30029  errors: 0
     started: 412000000us  stopped: 412125968us idle: 23us
"""
FINISHED = (
    "Result: OK: 125968(c125945+d23) usec, 30029 (60byte,frags:0)\n  238385pps 114Mb/sec (114424800bps) errors: 0\n"
)

PING = """\
PING 198.18.1.2 (198.18.1.2) 56(84) bytes of data.
64 bytes from 198.18.1.2: icmp_seq=1 ttl=64 time=136 ms
64 bytes from 198.18.1.2: icmp_seq=2 ttl=64 time=0.705 ms
64 bytes from 198.18.1.2: icmp_seq=3 ttl=64 time=1.89 ms

--- 198.18.1.2 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 21ms
rtt min/avg/max/mdev = 0.705/46.198/136.000/63.503 ms
"""


def test_the_result_of_pktgen_is_packets_and_time() -> None:
    found = parse(SETTINGS + FINISHED)
    assert found == Generated(packets=30029, usec=125968)
    assert round(found.rate) == 238386


@pytest.mark.parametrize("last", ["", "Result: OK: queue_map_max=0\n", "Result: Starting\n", "Result: Idle\n"])
def test_pktgen_that_has_not_ended_has_no_result(last: str) -> None:
    assert parse(SETTINGS + last) is None


def test_a_thread_of_pktgen_names_its_interfaces_running_or_not() -> None:
    assert devices("Running: eth1 \nStopped: eth0 eth2 \nResult: OK: add_device=eth0\n") == ["eth1", "eth0", "eth2"]
    assert devices("Running: \nStopped: \nResult: OK: rem_device_all\n") == []


def test_a_run_that_took_no_time_has_no_rate() -> None:
    assert Generated(packets=1, usec=0).rate == 0


def test_transmit_names_what_the_wire_carries_and_asks_pktgen_for_frames_without_fcs() -> None:
    assert [Transmit(size, 1, 1, 0).frame_bytes for size in (64, 1500)] == [60, 1514]
    assert len({Transmit(size, 1, burst, 0).name for size in (64, 1500) for burst in (1, 32)}) == 4


def side(place: int) -> Side:
    fields = {"mac": mac_of(place), "address": address_of(place), "partner": partner_of(place)}
    return cast("Side", SimpleNamespace(**fields, partner_mac=PARTNER_MAC))


@pytest.mark.parametrize("place", [0, 1])
def test_the_flood_is_one_shortest_frame_for_each_flow_to_the_socket_in_the_guest(place: int) -> None:
    sent = flood(side(place))
    assert [len(frame) for frame in sent] == [60] * FLOWS
    found = [dissect(frame) for frame in sent]
    assert {(one.destination, one.destination_ip, one.destination_port) for one in found} == {
        (frames.mac(mac_of(place)), frames.ip(address_of(place)), DISCARD)
    }
    assert len({one.source_ip for one in found}) == len({one.source_port for one in found}) == FLOWS
    assert frames.ip(address_of(place)) not in {one.source_ip for one in found}


def test_both_cards_have_networks_of_their_own() -> None:
    networks = [{address_of(place).rpartition(".")[0], partner_of(place).rpartition(".")[0]} for place in (0, 1)]
    assert [len(network) for network in networks] == [1, 1]
    assert networks[0] != networks[1]


def test_iperf3_counts_what_was_received_not_what_was_sent() -> None:
    end = {"sum_sent": {"bits_per_second": 9e9}, "sum_received": {"bits_per_second": 284_000_000.0}}
    assert parse_iperf3(json.dumps({"end": end})) == 284.0


@pytest.mark.parametrize("said", ["", "iperf3: error", '{"error": "unable to connect"}', '{"end": {}}', "[]"])
def test_iperf3_without_a_result_is_a_fault_that_says_what_came(said: str) -> None:
    with pytest.raises(GuestFault, match="iperf3 must end with what was received") as fault:
        parse_iperf3(said)
    assert said[-20:] in str(fault.value)


def test_each_echo_is_a_round_trip_in_microseconds_and_the_summary_is_none() -> None:
    assert parse_ping(PING) == pytest.approx([136_000, 705, 1890])


def test_tap_wires_of_both_cards_differ_and_qemu_runs_no_script() -> None:
    taps = Taps(cast("namespace.Namespace", SimpleNamespace(enter=("nsenter",))))
    assert taps.wire(0) == "tap:tap0"
    netdev = taps.netdev(1, "wire")
    assert (netdev["type"], netdev["ifname"], netdev["script"], netdev["downscript"]) == ("tap", "tap1", "no", "no")


def test_a_namespace_without_root_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EnvironmentLacks, match="need root"):
        namespace.check()
