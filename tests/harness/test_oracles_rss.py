# SPDX-License-Identifier: BSD-3-Clause
"""The oracle of receive side scaling against the published vectors."""

from __future__ import annotations

import doctest

import pytest

from harness.oracles import rss
from harness.oracles.rss import PUBLISHED_KEY, TCP, UDP, Flow, Rss

# source, source port, destination, destination port, hash of addresses, hash with ports
VECTORS = [
    ("66.9.149.187", 2794, "161.142.100.80", 1766, 0x323E8FC2, 0x51CCC178),
    ("199.92.111.2", 14230, "65.69.140.83", 4739, 0xD718262A, 0xC626B0EA),
    ("24.19.198.95", 12898, "12.22.207.184", 38024, 0xD2D0A5DE, 0x5C2B394A),
    ("38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xAFC7327F),
    ("153.39.163.191", 44251, "202.188.127.2", 1303, 0x5D1809C5, 0x10E828A2),
    ("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2CC18CD5, 0x40207D3D),
    ("3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0F0C461C, 0xDDE51BBF),
    ("3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4B61E985, 0x02D1FEEF),
]

SETTINGS = Rss(PUBLISHED_KEY, tuple(reversed(rss.blocks(4))))


@pytest.mark.parametrize(("source", "sport", "destination", "dport", "addresses", "ports"), VECTORS)
def test_published_vectors(source: str, sport: int, destination: str, dport: int, addresses: int, ports: int) -> None:
    assert SETTINGS.hash_of(Flow(source, destination, TCP, sport, dport)) == ports
    assert SETTINGS.hash_of(Flow(source, destination, 1)) == addresses


def test_udp_ports_count_only_when_their_family_is_enabled() -> None:
    four, six = (Flow(source, destination, UDP, 7, 9) for source, _, destination, *_ in (VECTORS[0], VECTORS[5]))
    only_four = Rss(PUBLISHED_KEY, SETTINGS.table, udp4_ports=True)
    assert SETTINGS.hash_of(four) == VECTORS[0][4]
    assert only_four.hash_of(four) != VECTORS[0][4]
    assert only_four.hash_of(six) == VECTORS[5][4]


def test_fragments_are_hashed_without_ports() -> None:
    source, sport, destination, dport, addresses, _ = VECTORS[1]
    assert SETTINGS.hash_of(Flow(source, destination, TCP, sport, dport, fragment=True)) == addresses


def test_the_low_seven_bits_index_the_table() -> None:
    source, sport, destination, dport, _, ports = VECTORS[2]
    table = tuple(range(128))
    assert Rss(PUBLISHED_KEY, table).queue_of(Flow(source, destination, TCP, sport, dport)) == ports & 0x7F == 0x4A


def test_tables_of_ethtool_and_of_the_driver() -> None:
    assert rss.blocks(3)[42:44] == (0, 1)
    assert rss.round_robin(3)[:4] == (0, 1, 2, 0)
    assert rss.weighted([1, 3])[31:33] == (0, 1)
    assert [rss.weighted([2, 1, 1]).count(queue) for queue in range(3)] == [64, 32, 32]


def test_register_words_are_little_endian() -> None:
    assert rss.key_words(PUBLISHED_KEY)[0] == 0xDA565A6D
    assert rss.table_words(tuple(range(128)))[1] == 0x07060504


def test_4096_flows_spread_evenly() -> None:
    flows = [Flow(f"10.{n % 251}.{n % 13}.{n % 199}", "10.0.0.1", TCP, 1024 + n, 80 + n % 7) for n in range(4096)]
    spread = SETTINGS.spread(flows)
    assert sorted(spread) == [0, 1, 2, 3]
    assert all(abs(count - 1024) <= 150 for count in spread.values())


@pytest.mark.parametrize(("key", "table", "message"), [(bytes(39), 128, "not 39"), (bytes(40), 64, "not 64")])
def test_wrong_sizes_are_refused_with_the_size(key: bytes, table: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rss(key, (0,) * table)


def test_examples_in_the_text_are_true() -> None:
    assert doctest.testmod(rss).failed == 0
