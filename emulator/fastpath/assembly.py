# SPDX-License-Identifier: BSD-3-Clause
"""A card around the native engine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from emulator.bundle.log import timed_by
from emulator.bundle.native import NativeReader, NativeWriter
from emulator.bundle.ports import logged_trigger
from emulator.card import Card
from emulator.errors import WorldError
from emulator.fastpath.engine import Engine
from emulator.fastpath.nic import NativeIgb
from emulator.fastpath.ports import NativeEndpoint, NativeInterruptPort, NativeMemory
from emulator.fastpath.recorder import NativeRecorder
from emulator.fastpath.server import NativeServer
from emulator.fastpath.wire import NativeWire

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from device_model.igb.config import Config
    from emulator.families import Surroundings


SPIN_NS = 50_000
"""How long the loop stays awake after an answer: the next question tends to come soon, and waking costs as much."""


def native_card(around: Surroundings, config: Config, undo: ExitStack) -> Card:
    """Return a card in ``around``, whose engine ``undo`` frees."""
    context = around.context
    engine = Engine()
    undo.callback(engine.close)
    log = around.log
    trigger: Callable[[int], bool] = context.trigger
    if isinstance(log, NativeWriter | NativeReader):
        log.attach(engine)
        undo.callback(log.close)
        timed_by(log, around.clock)
        trigger = logged_trigger(trigger, log)
    memory = NativeMemory(engine)
    if isinstance(log, NativeReader):
        memory.missing = log.missing
    interrupts = NativeInterruptPort(engine, around.space, trigger)
    wire = NativeWire(engine, around.wire, log)
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
    engine.e.spin_ns = SPIN_NS
    engine.e.pause_obeyed = around.pause_obeyed
    engine.e.paced = around.paced
    if not lib.fp_set_threads(engine.e, around.threads):
        raise WorldError(f"the card must have {around.threads} threads, and gets none: {os.strerror(ffi.errno)}")
    if around.bar0 >= 0 and not lib.fp_shared_open(engine.e, around.bar0):
        raise WorldError(f"the page of the doorbells must be mapped, and is not: {os.strerror(ffi.errno)}")
    card = Card(
        nic,
        wire,
        around.clock,
        memory,
        interrupts,
        context,
        endpoint,
        log=log,
        capture=wire.captured,
        serve=lambda controls, stop: NativeServer(card, nic, engine, controls, stop).serve(),
        recorder=lambda: NativeRecorder(nic),
    )
    return card
