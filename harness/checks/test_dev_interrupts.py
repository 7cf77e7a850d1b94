# SPDX-License-Identifier: BSD-3-Clause
"""Where QEMU's igb departs from the 82576 in signalling: moderation, automatic masking and clearing, what can be read.

Only the guest is asked: a program in it works the registers beside the driver, on a vector that igb leaves alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from device_model.igb.spec.interrupts import EIAC, EIAM, EICR, EICS, EIMC, EIMS, ICR, ICS, IMC, IMS
from harness.checks.spare import registers
from harness.checks.witness import told, watched
from harness.claims import claim
from harness.guest.bare import SPARE_VECTOR, offset

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

QUEUE = 1
VECTOR = 1 + QUEUE
SPARE = 1 << SPARE_VECTOR
INTERVAL_US = 8000
LEAST_US, MOST_US = INTERVAL_US // 2, INTERVAL_US * 3
"""Where the lower quartile of the gaps must lie. An emulated guest makes some gaps shorter by being late before."""

GAPS = 12
WRITES, EVERY_US = 100, 1000
OTHER = 1 << 0
"""EICR: the vector of everything but queues, as igb_configure_msix routes it."""


@claim("DEV-01")
def test_the_interval_is_in_microseconds(bound: Bound, evidence: Evidence) -> None:
    """A vector is raised every millisecond with rx-usecs 8000: its interrupts must come 8 ms apart.

    Not 32 ms, and not two for each 32 ms: one quarter of the gaps is below the lower quartile, and no more.
    """
    bound.netif.settings.set_coalescing(rx_usecs=INTERVAL_US)
    regs = registers(bound)
    irqs = bound.netif.irqs().values()
    number = next(irq.number for irq in irqs if irq.name.endswith((f"-rx-{QUEUE}", f"-TxRx-{QUEUE}")))
    times: list[int] = []
    with bound.guest.trace.session(
        "irq:irq_handler_entry", filters={"irq:irq_handler_entry": f"irq == {number}"}
    ) as trace:

        def enough() -> bool:
            bound.guest.agent.call(
                "mmio_every", path=regs.path, place=offset(EICS), value=1 << VECTOR, count=WRITES, every_us=EVERY_US
            )
            times[:] = [record.t for record in trace.named("irq_handler_entry")][2:]
            return len(times) > GAPS

        trace.read_until(enough, f"{GAPS + 3} interrupts of a raised vector", 30)
    gaps = [(late - early) // 1000 for early, late in pairwise(times)]
    evidence.note(guest={"gaps, us": gaps}, device=told(bound, f"EITR[{VECTOR}]"))
    assert LEAST_US < sorted(gaps)[len(gaps) // 4] < MOST_US


@claim("DEV-02")
def test_a_message_masks_its_vector(bound: Bound, evidence: Evidence) -> None:
    """A vector in EIAM is unmasked and raised: EIMS has its bit before and not after, and EIAM reads as written."""
    regs = registers(bound)
    with regs.kept((EIAC, 0), (EIAM, 0)), watched(bound, "AutoMasked") as seen:
        wanted = regs.read(EIAM) | SPARE
        regs.do((offset(EIMC), SPARE), (offset(EICR), SPARE), (offset(EIAC), SPARE), (offset(EIAM), wanted))
        kept, before, after = regs.do(
            (offset(EIAM),), (offset(EIMS), SPARE), (offset(EIMS),), (offset(EICS), SPARE), (offset(EIMS),)
        )
        regs.do((offset(EIMC), SPARE), (offset(EICR), SPARE))
    masked = None if seen is None else [event.vector for event in seen.all(where=lambda e: e.vector == SPARE_VECTOR)]
    evidence.note(guest={"EIAM": hex(kept), "EIMS": [hex(before), hex(after)]}, device=masked)
    assert before & SPARE
    assert not after & SPARE
    assert kept == wanted


@claim("DEV-03")
def test_automatic_clearing_can_be_switched_off(bound: Bound, evidence: Evidence) -> None:
    """A bit of EIAC is written 1, then 0, then the whole register 0 by the driver as the interface goes down."""
    regs = registers(bound)
    with regs.kept((EIAC, 0)):
        own = regs.read(EIAC) & ~SPARE
        on, off = regs.do((offset(EIAC), own | SPARE), (offset(EIAC),), (offset(EIAC), own), (offset(EIAC),))
    bound.netif.down()
    down = regs.read(EIAC)
    bound.netif.up()
    bound.netif.wait_carrier()
    evidence.note(guest={"on": hex(on), "off": hex(off), "down": hex(down)}, device=told(bound, "EIAC"))
    assert (on, off) == (own | SPARE, own)
    assert down == 0


@claim("DEV-11")
def test_reset_asserted_is_an_other_cause(bound: Bound, evidence: Evidence) -> None:
    """DOUTSYNC and DRSTA are raised while their vector is masked: each must set the bit of "other" in EICR, no other.

    The causes are taken back before the vector is unmasked, so the driver meets neither.
    """
    regs = registers(bound)
    seen = {}
    mask = regs.read(IMS)
    try:
        for name, cause in (("DOUTSYNC", ICR.doutsync.mask), ("DRSTA", ICR.drsta.mask)):
            seen[name], _ = regs.do(
                (offset(EIMC), OTHER),
                (offset(EICR), OTHER),
                (offset(ICS), cause),
                (offset(EICR),),
                (offset(ICR),),
            )
    finally:
        regs.do((offset(EICR), OTHER), (offset(EIMS), OTHER))
    evidence.note(guest={name: hex(value) for name, value in seen.items()}, device=told(bound, "IVAR_MISC", "ICR"))
    assert mask & ICR.drsta.mask
    assert mask & ICR.doutsync.mask
    others = {name: value & (OTHER | SPARE) for name, value in seen.items()}
    assert others == {"DOUTSYNC": OTHER, "DRSTA": OTHER}


@claim("DEV-12")
def test_set_and_clear_registers_show_what_they_act_on(bound: Bound, evidence: Evidence) -> None:
    """A masked vector and a masked cause are raised: EICS, ICS, EIMC and IMC must show them twice, and EICR keep it."""
    regs = registers(bound)
    cause = ICR.mdac.mask
    steps = [(offset(reg),) for reg in (EICS, EICS, EICR, EICR, EIMS, EIMC, ICS, ICS, IMS, IMC)]
    try:
        found = regs.do((offset(EIMC), SPARE), (offset(EICS), SPARE), (offset(ICS), cause), *steps)
    finally:
        regs.do((offset(EICR), SPARE), (offset(ICR), cause))
    eics, eics_again, eicr, eicr_again, eims, eimc, ics, ics_again, ims, imc = found
    evidence.note(guest=[hex(value) for value in found], device=told(bound, "EICR", "EIMS", "IMS"))
    assert ims & cause == 0
    assert [value & SPARE for value in (eics, eics_again, eicr, eicr_again)] == [SPARE] * 4
    assert [value & cause for value in (ics, ics_again)] == [cause] * 2
    assert (eimc, imc) == (eims, ims)
    assert eims
