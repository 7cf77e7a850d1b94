# SPDX-License-Identifier: BSD-3-Clause
"""Traces of a real guest: what was asked for is recorded, decoded and taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.errors import UsageError
from harness.guest import probes
from harness.guest.probes import Probe
from harness.guest.trace import TraceLostError

if TYPE_CHECKING:
    from harness.lab import Bound

FUNCTIONS = ("igb_poll", "napi_complete_done", "igb_msix_ring")


def send(bound: Bound, count: int, size: int = 100, cpu: int = 1) -> None:
    agent = bound.guest.agent
    handle = agent.call("open_socket", kind="udp")
    agent.call("send_numbered", handle=handle, count=count, size=size, address=["198.18.0.2", 9], cpus=[cpu])
    agent.call("close", handle=handle)


def test_every_standard_instrument_sees_a_frame_out(bound: Bound) -> None:
    wanted = (probes.XMIT, probes.POLL, probes.POLL_RETURN, probes.MSIX, probes.COMPLETE, probes.COMPLETE_RETURN)
    with bound.guest.trace.session("napi:napi_poll", "net:net_dev_start_xmit", probes=wanted) as trace:
        send(bound, 1, size=300)
        bound.peer.expect(1, where=lambda frame: len(frame) == 342)
        names = {"napi:napi_poll", "net:net_dev_start_xmit", *(probe.event for probe in wanted)}
        trace.read_until(lambda: names <= {record.name for record in trace.records}, "a record of each instrument")
    assert {record.name for record in trace.records} == names
    (xmit,) = trace.named("ig:xmit")
    assert xmit["len"] == 342
    assert xmit.cpu == 1
    assert all(record.in_softirq for record in trace.named("napi_poll"))
    assert all(record.in_hardirq for record in trace.named("ig:msix"))


def test_records_are_in_order_of_time_over_all_cpus(bound: Bound) -> None:
    with bound.guest.trace.session("irq:softirq_entry") as trace:
        for cpu in range(4):
            send(bound, 5, cpu=cpu)
    times = [record.t for record in trace.records]
    assert times == sorted(times)
    assert len({record.cpu for record in trace.records}) > 1


def test_functions_are_traced_by_name_and_no_others(bound: Bound) -> None:
    with bound.guest.trace.session(functions=FUNCTIONS) as trace:
        send(bound, 3)
        trace.read_until(lambda: set(FUNCTIONS) <= set(trace.functions()), "a call of each function")
    assert set(trace.functions()) == set(FUNCTIONS)


def test_a_session_leaves_its_instance_silent_and_empty_for_the_next(bound: Bound) -> None:
    instances = "/sys/kernel/tracing/instances"
    with bound.guest.trace.session("napi:napi_poll", filters={"napi:napi_poll": "work == 63"}) as trace:
        before = bound.guest.agent.listdir(instances)
    for name in ("tracing_on", "events/napi/napi_poll/enable"):
        assert bound.guest.agent.read(trace.path(name)).strip() == "0"
    assert bound.guest.agent.read(trace.path("events/napi/napi_poll/filter")).strip() == "none"
    with bound.guest.trace.session("napi:napi_poll") as again:
        send(bound, 1)
        again.read_until(lambda: again.records, "a poll")
    assert bound.guest.agent.listdir(instances) == before


def test_function_tracing_leaves_no_instance_behind(bound: Bound) -> None:
    instances = "/sys/kernel/tracing/instances"
    before = bound.guest.agent.listdir(instances)
    with bound.guest.trace.session(functions=FUNCTIONS):
        send(bound, 1)
    assert set(bound.guest.agent.listdir(instances)) <= set(before)


def test_an_unknown_event_is_refused_by_name(bound: Bound) -> None:
    with pytest.raises(UsageError, match="net:no_such_event"), bound.guest.trace.session("net:no_such_event"):
        pass


def test_an_impossible_probe_is_refused_with_the_kernels_words(bound: Bound) -> None:
    impossible = Probe("f", "x", "y", "no_such_function_at_all")
    with pytest.raises(UsageError, match="no_such_function_at_all"), bound.guest.trace.session(probes=[impossible]):
        pass


def test_lost_events_are_an_error(bound: Bound) -> None:
    def overrun() -> None:
        with bound.guest.trace.session("net:net_dev_start_xmit", buffer_kb=4):
            send(bound, 1000)

    with pytest.raises(TraceLostError, match="lost events"):
        overrun()


def test_queue_limits_are_seen_before_and_after_each_completion(bound: Bound) -> None:
    dql = bound.guest.dql_probes()
    total = 30 * 1042
    for queue in range(4):
        bound.netif.set_xps(queue, [queue])
    with bound.guest.trace.session(probes=dql.all) as trace:
        send(bound, 30, size=1000, cpu=1)
        bound.peer.expect(30, where=lambda frame: len(frame) == 1042)
        trace.read_until(
            lambda: sum(r["count"] for r in trace.named("bql:in")) >= total and trace.records[-1].name == "bql:out",
            f"the completion of {total} bytes",
        )
    before, after = trace.named("bql:in"), trace.named("bql:out")
    assert len(before) == len(after) > 0
    assert sum(record["count"] for record in before) == total
    for entry, done in zip(before, after, strict=True):
        assert done["txq"] + dql.dql_in_queue == entry["dql"]
        assert done["nc"] == (entry["nc"] + entry["count"]) % 2**32
        assert done["adj"] == (done["limit"] + done["nc"]) % 2**32
    assert bound.netif.bql(1).limit == after[-1]["limit"]
