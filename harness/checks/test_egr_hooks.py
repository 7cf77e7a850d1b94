# SPDX-License-Identifier: BSD-3-Clause
"""Who may refuse a packet on its way out: netfilter's hooks and a cgroup's BPF program."""

from __future__ import annotations

import errno
import json
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from harness.checks.chains import SEEN, alone, doorbells, entered, send, unserved
from harness.checks.sending import udp_socket
from harness.claims import claim
from harness.dissect import dissect
from harness.guest.agent import AgentRefusedError
from harness.guest.probes import HOOK
from harness.traffic import FILLER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.evidence import Evidence
    from harness.lab import Bound

LOCAL_OUT, POST_ROUTING = 3, 4
"""Linux include/uapi/linux/netfilter.h."""

FAMILY_IPV4 = 2
COUNTED, DROPPED = 4760, 4761
TABLE = f"""
table ip hilnic {{
  chain out {{
    type filter hook output priority 0; policy accept;
    udp dport {COUNTED} counter comment "out"
    udp dport {DROPPED} counter drop comment "dropped"
  }}
  chain post {{
    type filter hook postrouting priority 0; policy accept;
    udp dport {{ {COUNTED}, {DROPPED} }} counter comment "post"
  }}
}}
"""
GROUPS, GROUP = "/sys/fs/cgroup", "/sys/fs/cgroup/hilnic-egress"


def counters(bound: Bound) -> dict[str, int]:
    """Return the packets that each rule has counted, by its comment."""
    listed = json.loads(bound.netif.tool("nft", "-j", "list", "table", "ip", "hilnic").out)["nftables"]
    found = {}
    for rule in (item["rule"] for item in listed if "rule" in item):
        found[rule["comment"]] = next(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)
    return found


def filtering(bound: Bound) -> None:
    """Load the rules; they are gone after the check."""
    agent = bound.guest.agent
    bound.guest.undo.remember("nft", lambda: bound.netif.tool("nft", "delete", "table", "ip", "hilnic", check=False))
    answer = agent.start("run", argv=["nft", "-f", "-"], seconds=30.0, stdin=TABLE).result(40.0)
    assert answer["rc"] == 0, answer["err"]


def refused(bound: Bound, handle: int, payloads: Sequence[bytes]) -> int:
    """Return the errno with which a send is refused."""
    with pytest.raises(AgentRefusedError) as error:
        send(bound, handle, payloads)
    return error.value.errno or 0


@claim("EGR-09")
def test_netfilter_hooks_run_in_the_sender(bound: Bound, evidence: Evidence) -> None:
    """Three datagrams that are counted twice each, two that are dropped in LOCAL_OUT, and another without the rules.

    POST_ROUTING may have a hook without any rule, a security module's (apparmor_ip_postroute); LOCAL_OUT has none.
    """
    functions = ("__ip_local_out", "ip_output", "__dev_queue_xmit")
    counted, dropped, tail = udp_socket(bound, port=COUNTED), udp_socket(bound, port=DROPPED), alone(bound)
    bodies = [FILLER[at : at + 80 + at] for at in range(3)]
    filtering(bound)
    with bound.guest.trace.session(probes=(HOOK,), functions=functions) as trace, bound.card.recording(*SEEN) as seen:
        thread = send(bound, counted, bodies)
        trace.read()
        passed = entered(trace, thread)
        hooks = [(r.pid, r.in_softirq, r["hook"]) for r in trace.records if r.name == HOOK.event]
        trace.records.clear()
        errors = [refused(bound, dropped, [body]) for body in bodies[:2]]
        trace.read()
        stopped = unserved(trace)
        stopped_hooks = [(r.in_softirq, r["hook"]) for r in trace.records if r.name == HOOK.event]
        numbers = counters(bound)
        bound.netif.tool("nft", "delete", "table", "ip", "hilnic")
        trace.read()
        trace.records.clear()
        last = send(bound, dropped, [bodies[2]])
        card = doorbells(bound, seen, tail, 4)
    after = [(r["pf"], r["hook"]) for r in trace.records if r.name == HOOK.event and r.pid == last]
    ports = [(dissect(frame).destination_port, dissect(frame).payload) for frame in card.frames]
    evidence.note(
        guest={"hooks": hooks, "dropped": stopped_hooks, "errno": errors, "counters": numbers, "without": after},
        device={"ports": [port for port, _ in ports]},
    )
    assert hooks == [(thread, False, LOCAL_OUT), (thread, False, POST_ROUTING)] * 3
    assert passed == list(functions) * 3
    assert errors == [errno.EPERM] * 2
    assert stopped_hooks == [(False, LOCAL_OUT)] * 2
    assert stopped == ["__ip_local_out"] * 2
    assert numbers == {"out": 3, "dropped": 2, "post": 3}
    assert set(after) <= {(FAMILY_IPV4, POST_ROUTING)}
    assert ports == [*((COUNTED, body) for body in bodies), (DROPPED, bodies[2])]


@contextmanager
def in_group(bound: Bound) -> Iterator[None]:
    """Let sockets that are opened inside the context belong to a cgroup of their own."""
    agent = bound.guest.agent
    if not agent.exists(GROUP):
        agent.call("mkdir", path=GROUP)
        bound.guest.undo.remember("cgroup", lambda: agent.call("rmdir", path=GROUP))
    agent.write(f"{GROUP}/cgroup.procs", "0")
    try:
        yield
    finally:
        agent.write(f"{GROUPS}/cgroup.procs", "0")


def reason(bound: Bound, name: str) -> int:
    """Return the number of a drop reason in this kernel, as the tracepoint's format tells it."""
    shown = bound.guest.agent.read("/sys/kernel/tracing/events/skb/kfree_skb/format")
    found = re.search(r"\{ (\d+), \"" + name + r"\" \}", shown)
    assert found is not None, f"the kernel must know the drop reason {name}"
    return int(found[1])


@claim("EGR-10")
def test_cgroups_egress_program_can_refuse(bound: Bound, evidence: Evidence) -> None:
    """Programs that return 1, 0 and, at last, none: a datagram each from a socket of the cgroup and from one outside.

    Each program is attached alone, and detached before the next.
    """
    agent = bound.guest.agent
    with in_group(bound):
        inside = udp_socket(bound, port=COUNTED)
    outside, tail = udp_socket(bound, port=DROPPED), alone(bound)
    bodies, told, frames = [FILLER[at : at + 90 + at] for at in range(3)], [], 0
    drops, by_program = [], reason(bound, "BPF_CGROUP_EGRESS")
    with bound.guest.trace.session("skb:kfree_skb") as trace, bound.card.recording(*SEEN) as seen:
        for body, verdict in zip(bodies, (1, 0, None), strict=True):
            program = -1 if verdict is None else agent.call("load_verdict", verdict=verdict)
            if verdict is not None:
                agent.call("attach_verdict", folder=GROUP, program=program)
            trace.read()
            trace.records.clear()
            if verdict == 0:
                told.append(refused(bound, inside, [body]))
            else:
                send(bound, inside, [body])
                told.append(0)
            trace.read()
            drops.append(sum(record["reason"] == by_program for record in trace.records))
            send(bound, outside, [body])
            if verdict is not None:
                agent.call("attach_verdict", folder=GROUP, program=program, on=False)
            frames += 1 if verdict == 0 else 2
        card = doorbells(bound, seen, tail, frames)
    agent.call("close", handle=inside)
    left = [(dissect(frame).destination_port, dissect(frame).payload) for frame in card.frames]
    evidence.note(guest={"errno": told, "drops": drops}, device=[(port, len(body)) for port, body in left])
    assert told == [0, errno.EPERM, 0]
    assert drops == [0, 1, 0]
    one, two, three = bodies
    assert left == [(COUNTED, one), (DROPPED, one), (DROPPED, two), (COUNTED, three), (DROPPED, three)]
