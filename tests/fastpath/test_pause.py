# SPDX-License-Identifier: BSD-3-Clause
"""Pause frames that the engine sends by itself, where nobody listens to events, are those that the model sends."""

from __future__ import annotations

import pytest

from device_model.igb.spec.general import CTRL, FCAH, FCAL, FCRTH, FCRTL, FCRTV, FCT, FCTTV
from device_model.igb.spec.receive import RDT
from tests.fastpath.world import NativeWorld
from tests.model.igb.driver import Driver
from tests.model.igb.world import World
from tests.model.packet import frames

QUANTA, LOW, HIGH = 0x1234, 0x2000, 0x4000
MAC = bytes.fromhex("525400825760")
FLOOD = 80


def story(world: World, *, listening: bool, repeated: int, xone: int) -> tuple[object, ...]:
    """Return what a flood, and buffers that come slowly, make a card send, and what its registers say then."""
    driver = Driver(world, 32, 1)
    driver.up()
    world.clock.advance(100_000_000)
    values = ((FCT, 0x8808), (FCAH, 0x100), (FCAL, 0x00C28001), (FCTTV, QUANTA), (FCRTV, repeated), (FCRTH, HIGH))
    for reg, value in (*values, (FCRTL, xone | LOW)):
        driver.put(reg, value)
    driver.put(CTRL, driver.get(CTRL) | CTRL.rfce.mask | CTRL.tfce.mask)
    if isinstance(world, NativeWorld) and not listening:
        world.engine.e.tell.on = False
    world.cable.frames.clear()
    payload = frames.udp(bytes(900), bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), (1111, 2222))
    packet = frames.ip(payload, frames.UDP, bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    sent = []
    for turn in range(3):
        for _ in range(FLOOD):
            world.nic.receive(frames.ethernet(*packet, destination=MAC))
            world.clock.advance(1_000_000)
        for _ in range(FLOOD):
            driver.put(RDT, (driver.get(RDT) + 1) % 32)
        sent.append((turn, list(world.cable.frames)))
        world.clock.advance(50_000_000)
        world.cable.frames.clear()
    if isinstance(world, NativeWorld):
        world.nic.settle()
    return sent, world.nic.flow_control.xoff_sent, world.nic.registers_snapshot()


@pytest.mark.parametrize("repeated", [0, 0x800, QUANTA])
@pytest.mark.parametrize("xone", [FCRTL.xone.mask, 0])
def test_the_engine_asks_as_the_model_does(repeated: int, xone: int) -> None:
    model = story(World(), listening=True, repeated=repeated, xone=xone)
    sent = model[0]
    assert isinstance(sent, list)
    assert any(asked for _, asked in sent), "the flood must pass the mark"
    for listening in (True, False):
        world = NativeWorld()
        assert story(world, listening=listening, repeated=repeated, xone=xone) == model
        world.engine.close()
