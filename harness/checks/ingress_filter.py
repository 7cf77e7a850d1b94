# SPDX-License-Identifier: BSD-3-Clause
"""A filter of traffic control at the interface's ingress that drops every frame."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.lab import Bound


@contextmanager
def dropping(bound: Bound) -> Iterator[None]:
    """Drop whatever comes in; afterwards the filter is gone, and its qdisc goes with the check."""
    name, tc = bound.netif.name, bound.netif.tc
    bound.guest.undo.remember((name, "clsact"), lambda: tc("qdisc", "del", "dev", name, "clsact"))
    tc("qdisc", "replace", "dev", name, "clsact")
    tc("filter", "add", "dev", name, "ingress", "pref", 1, "protocol", "all", "matchall", "action", "drop")
    try:
        yield
    finally:
        tc("filter", "del", "dev", name, "ingress", "pref", 1)


def dropped_by_filter(bound: Bound) -> int:
    """Return how many packets the filter's action has dropped."""
    filters = json.loads(bound.netif.tc("-s", "-j", "filter", "show", "dev", bound.netif.name, "ingress").out)
    [drops] = [drops for each in filters for drops in counted(each, "drops")]
    return int(drops)


def counted(value: Any, name: str) -> list[int]:  # noqa: ANN401 - JSON
    """Return all numbers called ``name`` in a JSON value."""
    if isinstance(value, list):
        return [number for each in value for number in counted(each, name)]
    if not isinstance(value, dict):
        return []
    here = [value[name]] if name in value else []
    return here + [number for each in value.values() for number in counted(each, name)]
