# SPDX-License-Identifier: BSD-3-Clause
"""Dynamic events: probes on kernel functions, as data.

Probe kinds and argument syntax: Documentation/trace/kprobetrace.rst and fprobetrace.rst.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """One dynamic event. ``kind`` is ``p`` (kprobe) or ``f`` (function entry, ``%return`` in ``place`` for its end)."""

    kind: str
    group: str
    name: str
    place: str
    arguments: str = ""

    @property
    def event(self) -> str:
        """The event's name, ``group:name``."""
        return f"{self.group}:{self.name}"

    @property
    def definition(self) -> str:
        """The line that defines it in dynamic_events."""
        return f"{self.kind}:{self.group}/{self.name} {self.place} {self.arguments}".strip()

    @property
    def removal(self) -> str:
        """The line that removes it."""
        return f"-:{self.group}/{self.name}"


XMIT = Probe("f", "ig", "xmit", "igb_xmit_frame_ring", "len=skb->len:u32 qm=skb->queue_mapping:u16 skb=skb:x64")
POLL = Probe("f", "ig", "poll", "igb_poll", "napi=$arg1:x64")
POLL_RETURN = Probe("f", "ig", "pollr", "igb_poll%return", "ret=$retval:s32")
MSIX = Probe("f", "ig", "msix", "igb_msix_ring", "irq=$arg1:s32")
READ_REGISTER = Probe("f", "ig", "rd32", "igb_rd32", "reg=reg:u32")
OTHER = Probe("f", "ig", "other", "igb_msix_other", "irq=$arg1:s32")
REFILL = Probe("f", "ig", "refill", "igb_alloc_rx_buffers", "count=cleaned_count:u16")
SCHEDULE = Probe("f", "n", "sched", "__napi_schedule")
SCHEDULE_IRQOFF = Probe("f", "n", "schedi", "__napi_schedule_irqoff")
NET_RX_ACTION = Probe("f", "n", "rxa", "net_rx_action")
NAPI_POLL = Probe("f", "n", "npoll", "__napi_poll")
COMPLETE = Probe("f", "n", "cd", "napi_complete_done", "napi=$arg1:x64 work=work_done:s32")
COMPLETE_RETURN = Probe("f", "n", "cdr", "napi_complete_done%return", "ret=$retval:u8")
ENQUEUE = Probe("f", "rps", "enq", "enqueue_to_backlog", "cpu=$arg2:s32 hash=skb->hash:u32")
HOOK = Probe("f", "nf", "hook", "nf_hook_slow", "hook=state->hook:u8 pf=state->pf:u8")
BUSY = Probe("f", "n", "busy", "napi_busy_loop", "id=$arg1:u32")
LIST = Probe("f", "n", "list", "netif_receive_skb_list_internal")
TIMEOUT = Probe("f", "ig", "timeout", "igb_tx_timeout", "queue=txqueue:u32")
RESET = Probe("f", "ig", "reset", "igb_reset_task")

STANDARD = (
    *(XMIT, POLL, POLL_RETURN, MSIX, OTHER, REFILL, READ_REGISTER),
    *(SCHEDULE, SCHEDULE_IRQOFF, NET_RX_ACTION, NAPI_POLL, COMPLETE, COMPLETE_RETURN, ENQUEUE, LIST, TIMEOUT, RESET),
)
"""What every snapshot has defined, so that a session only switches it on."""
