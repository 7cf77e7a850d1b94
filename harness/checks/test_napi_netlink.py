# SPDX-License-Identifier: BSD-3-Clause
"""NAPI instances as the netlink family ``netdev`` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks import polls
from harness.checks.bursts import armings, calm, messages, one_by_one, quiet, receive_vector, steer_to, unanswered
from harness.checks.test_napi_deferral import completions
from harness.claims import claim
from harness.guest import netdev_family
from harness.guest.probes import COMPLETE, COMPLETE_RETURN
from harness.oracles import vectors

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

RX, TX = 0, 1
QUEUE, NEIGHBOUR = 2, 1
DEFERRED, PERIOD_NS = 4, 10_000_000


@claim("IRQ-23")
@pytest.mark.parametrize("channels", [None, 3, 6])
def test_netlink_lists_the_napi_instances_of_the_interface(
    bound: Bound, evidence: Evidence, channels: int | None
) -> None:
    """As found at boot, then 3 and 6 channels: 8, 6 and 6 queue vectors, apart and paired, and other ids each time."""
    index = int(bound.netif.read("ifindex"))
    agent = bound.guest.agent
    former = {entry["id"] for entry in netdev_family.napis(agent, index)}
    if channels is not None:
        bound.netif.settings.set_channels(channels)
    count = vectors.queues(bound.guest.cpus) if channels is None else channels
    listed = netdev_family.napis(agent, index)
    queues = netdev_family.queues(agent, index)
    in_use = bound.card.register("EIAC") & ~1
    ids = {entry["id"] for entry in listed}
    evidence.note(guest={"napi-get": listed, "queue-get": queues}, device={"queue vectors in EIAC": hex(in_use)})
    assert len(listed) == len(ids) == in_use.bit_count() == len(vectors.handlers(count)) - 1
    assert ids == former if channels is None else not ids & former
    assert {tuple(sorted(entry)) for entry in listed} == {("id", "ifindex")}
    assert {entry["ifindex"] for entry in listed} == {index}
    assert sorted((entry["type"], entry["id"]) for entry in queues) == [
        (kind, queue) for kind in (RX, TX) for queue in range(count)
    ]
    assert {tuple(sorted(entry)) for entry in queues} == {("id", "ifindex", "type")}


def setting(bound: Bound) -> dict[int, tuple[int, int]]:
    """Return by NAPI id how many polls are deferred, and the nanoseconds between them."""
    listed = netdev_family.napis(bound.guest.agent, int(bound.netif.read("ifindex")))
    return {entry["id"]: (entry["defer-hard-irqs"], entry["gro-flush-timeout"]) for entry in listed}


def configure(bound: Bound, napi: int, count: int, period_ns: int) -> None:
    """Let one NAPI defer its interrupt by ``count`` polls, ``period_ns`` apart, until the check is over."""
    agent, names = bound.guest.agent, netdev_family.NAPI
    wanted = {"id": napi, "defer-hard-irqs": count, "gro-flush-timeout": period_ns}
    attributes = {names.index(name): value for name, value in wanted.items()}
    if count:
        bound.guest.undo.remember(("napi", napi), lambda: configure(bound, napi, 0, 0))
    netdev_family.request(agent, netdev_family.NAPI_SET, names, attributes)


@claim("NAPI-23")
def test_settings_of_one_napi_can_be_set_by_netlink(bound: Bound, evidence: Evidence) -> None:
    """4 polls 10 ms apart for one receive NAPI; its neighbour, and all others, keep theirs. Then down, up, again."""
    queues = netdev_family.queues(bound.guest.agent, int(bound.netif.read("ifindex")))
    ids = {entry["id"]: entry["napi-id"] for entry in queues if entry["type"] == RX}
    before = setting(bound)
    wanted = before | {ids[QUEUE]: (DEFERRED, PERIOD_NS)}
    configure(bound, ids[QUEUE], DEFERRED, PERIOD_NS)
    vectors_of = [receive_vector(bound, queue) for queue in (QUEUE, NEIGHBOUR)]
    shown, told, sent = [], [], []
    for again in (False, True):
        if again:
            bound.netif.down()
            bound.netif.up()
            bound.netif.wait_carrier()
        quiet(bound)
        shown.append(setting(bound))
        with (
            bound.guest.trace.session(polls.POLL, probes=(COMPLETE, COMPLETE_RETURN)) as trace,
            bound.card.recording("InterruptSent", "RegisterWritten", "FrameDelivered") as seen,
        ):
            for queue in (QUEUE, NEIGHBOUR):
                steer_to(bound, queue)
                one_by_one(bound, seen, unanswered(bound, 1))
                calm(bound)
                records = trace.read()
                [name] = polls.napis(bound, records)
                told.append(completions(polls.life(records, name, 0)))
            sent += [(len(messages(seen, vector)), len(armings(seen, vector))) for vector in vectors_of]
    evidence.note(
        guest={"napi-get": list(shown[0].items()), "(work, return) of completions": told},
        device={"messages and EIMS writes": sent},
    )
    assert shown == [wanted, wanted]
    assert list(before.values()) == [(0, 0)] * len(before)
    assert told == [[(1, 0), *[(0, 0)] * (DEFERRED - 1), (0, 1)], [(1, 1)]] * 2
    assert sent == [(1, 1)] * 4
