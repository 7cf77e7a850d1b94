# SPDX-License-Identifier: BSD-3-Clause
"""A card around the native engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emulator.card import Card
from emulator.fastpath.engine import Engine
from emulator.fastpath.nic import NativeIgb
from emulator.fastpath.ports import NativeEndpoint, NativeInterruptPort, NativeMemory
from emulator.fastpath.recorder import NativeRecorder
from emulator.fastpath.server import NativeServer
from emulator.fastpath.wire import NativeWire

if TYPE_CHECKING:
    from contextlib import ExitStack

    from device_model.igb.config import Config
    from emulator.families import Surroundings


def native_card(around: Surroundings, config: Config, undo: ExitStack) -> Card:
    """Return a card in ``around``, whose engine ``undo`` frees."""
    context = around.context
    engine = Engine()
    undo.callback(engine.close)
    memory = NativeMemory(engine)
    interrupts = NativeInterruptPort(engine, around.space, context.trigger)
    wire = NativeWire(engine, around.wire)
    undo.callback(wire.close)
    nic = NativeIgb(
        engine, memory=memory, wire=wire, interrupts=interrupts, clock=around.clock, config=config, keep=context.keep
    )
    endpoint = NativeEndpoint(engine, around.space, nic, memory, interrupts)
    engine.e.trigger, engine.e.trigger_context = context.signaller(engine.ffi)
    context.when_failing = engine.call_attention
    lib, ffi = engine.lib, engine.ffi
    read, write = ffi.addressof(lib, "fp_bar_read"), ffi.addressof(lib, "fp_bar_write")
    context.answer_bar0(ffi, read, write, engine.e)
    card = Card(
        nic,
        wire,
        around.clock,
        memory,
        interrupts,
        context,
        endpoint,
        serve=lambda controls, stop: NativeServer(card, nic, engine, controls, stop).serve(),
        recorder=lambda: NativeRecorder(nic),
    )
    return card
