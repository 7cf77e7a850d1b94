# SPDX-License-Identifier: BSD-3-Clause
"""The guest's witness: trace records as slices and marks of virtual CPUs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.guest.probes import COMPLETE, MSIX, POLL, POLL_RETURN, READ_REGISTER, SCHEDULE, SCHEDULE_IRQOFF
from harness.timeline.line import Lane, Mark, Slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.guest.ringbuffer import Record
    from harness.timeline.clocks import Relation

SOFTIRQS = ("HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER", "RCU")
"""By vec (Linux include/linux/interrupt.h)."""

EVENTS = (
    *("irq:irq_handler_entry", "irq:irq_handler_exit", "irq:softirq_entry", "irq:softirq_exit", "napi:napi_poll"),
    *("net:net_dev_start_xmit", "net:net_dev_xmit", "net:netif_receive_skb"),
)
PROBES = (POLL, POLL_RETURN, MSIX, SCHEDULE, SCHEDULE_IRQOFF, COMPLETE, READ_REGISTER)
OWN = {"napi:napi_poll": "dev_name", "net:net_dev_start_xmit": "name", "net:net_dev_xmit": "name"}
"""Events of the stack that name an interface, and where: those of other interfaces are left out."""


SHOWN_SOFTIRQS = (1, 2, 3)
"""TIMER, NET_TX and NET_RX; the others have nothing to do with a card, and reading a trace causes many of them."""


def filters(irqs: Iterable[int]) -> dict[str, str]:
    """Return what to record of busy events: the interrupts ``irqs``, since reading a trace causes many of others."""
    ours = " || ".join(f"irq == {irq}" for irq in sorted(irqs))
    soft = " || ".join(f"vec == {vec}" for vec in SHOWN_SOFTIRQS)
    by_irq = {name: ours for name in ("irq:irq_handler_entry", "irq:irq_handler_exit") if ours}
    return by_irq | dict.fromkeys(("irq:softirq_entry", "irq:softirq_exit"), soft)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two events that begin and end a slice on one CPU."""

    begin: str
    end: str
    kind: str


PAIRS = (
    Pair("irq:irq_handler_entry", "irq:irq_handler_exit", "hardirq"),
    Pair("irq:softirq_entry", "irq:softirq_exit", "softirq"),
    Pair(POLL.event, POLL_RETURN.event, "napi"),
    Pair("net:net_dev_start_xmit", "net:net_dev_xmit", "xmit"),
)
BEGINS = {pair.begin: pair for pair in PAIRS}
ENDS = {pair.end: pair for pair in PAIRS}


def slices(records: Sequence[Record], clock: Relation, interface: str) -> tuple[list[Slice], list[Mark]]:
    """Return what the virtual CPUs did, in order of time. What had not ended when the recording did is left out."""
    done: list[Slice] = []
    marks: list[Mark] = []
    open_ones: dict[int, list[tuple[Pair, Record]]] = defaultdict(list)
    for record in _ours(records, interface):
        lane, began = Lane.cpu(record.cpu), open_ones[record.cpu]
        if record.name in BEGINS:
            began.append((BEGINS[record.name], record))
        elif record.name in ENDS:
            at = next((n for n in reversed(range(len(began))) if began[n][0].end == record.name), None)
            if at is None:
                continue  # it had begun before the recording did
            pair, first = began[at]
            del began[at:]  # what lies inside has lost its end
            done.append(
                Slice(
                    lane,
                    _title(pair, first),
                    clock.on_card(first.t),
                    clock.on_card(record.t),
                    _details(first) | {name: value for name, value in _details(record).items() if name == "ret"},
                    pair.kind,
                )
            )
        else:
            name = record.name.partition(":")[2]
            marks.append(Mark(lane, NAMES.get(record.name, name), clock.on_card(record.t), _details(record), "guest"))
    return sorted(done, key=lambda each: (each.begin_ns, -each.end_ns)), marks


NAMES = {
    SCHEDULE.event: "__napi_schedule",
    SCHEDULE_IRQOFF.event: "__napi_schedule_irqoff",
    COMPLETE.event: "napi_complete_done",
    MSIX.event: "igb_msix_ring",
    READ_REGISTER.event: "igb_rd32",
}


def _ours(records: Iterable[Record], interface: str) -> Iterable[Record]:
    for record in records:
        place = OWN.get(record.name)
        if place is None or record.fields.get(place) == interface:
            yield record


def _title(pair: Pair, record: Record) -> str:
    if pair.kind == "hardirq":
        return f"{record['name']}"
    if pair.kind == "softirq":
        number = int(record["vec"])
        return SOFTIRQS[number] if number < len(SOFTIRQS) else f"softirq {number}"
    return "igb_poll" if pair.kind == "napi" else "xmit"


TOLD = ("irq", "vec", "ret", "name", "dev_name", "queue_mapping", "len", "work", "budget", "napi", "skbaddr", "reg")
"""Fields that somebody who looks at a time line wants; some say nothing outside the kernel."""

ADDRESSES = ("napi", "skbaddr", "reg")


def _details(record: Record) -> dict[str, Any]:
    found = {name: record.fields[name] for name in TOLD if name in record.fields}
    found |= {name: f"{found[name]:#x}" for name in ADDRESSES if isinstance(found.get(name), int)}
    return found | {"task": f"{record.comm} {record.pid}"}
