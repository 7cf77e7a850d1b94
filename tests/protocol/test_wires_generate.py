# SPDX-License-Identifier: BSD-3-Clause
"""The wire on which frames come without end."""

from __future__ import annotations

import pytest

from device_model.packet.parse import parse
from emulator.errors import UsageError
from emulator.wires.generate import GeneratorWire
from emulator.wires.spec import open_wire
from tests.model.packet.frames import internet_checksum

MAC = bytes.fromhex("525400825760")


def test_every_flow_has_an_address_of_its_own_and_a_right_header() -> None:
    wire = GeneratorWire(MAC, flows=300, size=100)
    frames = [frame for _ in range(5) for frame in wire.poll()]
    wire.close()
    assert {len(frame) for frame in frames} == {96}
    parsed = [parse(frame) for frame in frames]
    assert all(one.ip_header_ok and one.l4_protocol == 17 for one in parsed)
    assert all(internet_checksum(frame[14:34]) == 0 for frame in frames)
    assert len({(one.source, one.source_port) for one in parsed[:300]}) == 300
    assert (parsed[0].source, parsed[0].source_port) == (parsed[300].source, parsed[300].source_port)
    assert wire.counts.arrived == len(frames)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("mac=52:54:00:82:57:60,flows=0,size=64,rate=0", "flows of a generator must be 1 to 65536, not 0"),
        ("mac=52:54:00:82:57:60,flows=1,size=20,rate=0", "size of a generator's frames must be 46 to 9736, not 20"),
        ("mac=52:54:00:82:57:60,flows=1,size=64,rate=-1", "rate of a generator must be 0 to 100000000"),
        ("mac=52:54,flows=1,size=64,rate=0", "must be six bytes, not '52:54'"),
        ("mac=52:54:00:82:57:60,flows=many,size=64,rate=0", "must have a MAC address and numbers"),
        ("mac=52:54:00:82:57:60,flows=1", "size, rate is missing"),
    ],
)
def test_what_cannot_be_generated_is_refused(options: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_wire(f"generate:{options}")
