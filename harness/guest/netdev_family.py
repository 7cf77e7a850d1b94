# SPDX-License-Identifier: BSD-3-Clause
"""The netlink family ``netdev``: NAPI instances and queues as the kernel lists them (linux/netdev.h)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.guest.agent import Agent

FAMILY = "netdev"
QUEUE_GET, NAPI_GET, NAPI_SET = 10, 11, 14
"""Commands (enum NETDEV_CMD_*)."""

NAPI = ("", "ifindex", "id", "irq", "pid", "defer-hard-irqs", "gro-flush-timeout", "irq-suspend-timeout", "threaded")
QUEUE = ("", "id", "ifindex", "type", "napi-id")
"""Names of attributes by their kind (NETDEV_A_NAPI_*, NETDEV_A_QUEUE_*); later kernels append."""

WORD = 4


def dump(agent: Agent, command: int, names: tuple[str, ...], ifindex: int) -> list[dict[str, int]]:
    """Return the objects of interface ``ifindex`` that ``command`` lists, in order, attributes by name."""
    kind = names.index("ifindex")
    return request(agent, command, names, {kind: ifindex}, whole=True)


def request(
    agent: Agent, command: int, names: tuple[str, ...], attributes: Mapping[int, int], *, whole: bool = False
) -> list[dict[str, int]]:
    """Do ``command`` with 32-bit attributes, as a dump or for one object; AgentRefusedError carries the errno."""
    told = [[kind, base64.b64encode(value.to_bytes(WORD, "little")).decode()] for kind, value in attributes.items()]
    answers = agent.call("generic_netlink", family=FAMILY, command=command, attributes=told, dump=whole)
    return [
        {
            names[kind] if kind < len(names) else str(kind): int.from_bytes(base64.b64decode(value), "little")
            for kind, value in answer
        }
        for answer in answers
    ]


def napis(agent: Agent, ifindex: int) -> list[dict[str, int]]:
    """Return the NAPI instances of an interface as napi-get lists them."""
    return dump(agent, NAPI_GET, NAPI, ifindex)


def queues(agent: Agent, ifindex: int) -> list[dict[str, int]]:
    """Return the queues of an interface as queue-get lists them."""
    return dump(agent, QUEUE_GET, QUEUE, ifindex)
