# SPDX-License-Identifier: BSD-3-Clause
"""NAPI: how a burst is cut into polls, when the vector is armed again, and what a poll may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.checks.bursts import armings, burst, receive_vector, steer_to, without_time_limit
from harness.claims import claim
from harness.oracles import napi
from harness.traffic import flows, numbered_frames

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound


@claim("NAPI-02")
@pytest.mark.parametrize("frames", [1, 63, 64, 65, 200])
def test_held_burst_is_polled_in_batches_of_64(bound: Bound, evidence: Evidence, frames: int) -> None:
    """A burst held behind one message, so that the cut cannot depend on timing; 64 and 65 tell the edge."""
    steer_to(bound, 2)
    without_time_limit(bound)
    [flow] = flows(1, bound.peer.station, bound.peer.guest)
    vector = receive_vector(bound, 2)
    with (
        bound.guest.trace.session("napi:napi_poll") as trace,
        bound.card.recording("InterruptSent", "RegisterWritten", "RxWriteBack") as seen,
    ):
        burst(bound, seen, 2, list(numbered_frames(flow, frames)))
        works = [record["work"] for record in trace.read() if record["dev_name"] == "eth0"]
    messages = seen.all("InterruptSent", lambda event: event.vector == vector)
    evidence.note(
        guest={"work of each poll": works},
        device={"messages": len(messages), "EIMS writes": len(armings(seen, vector))},
    )
    assert works == napi.receive_polls(frames)
    assert (len(messages), len(armings(seen, vector))) == (1, 1)
