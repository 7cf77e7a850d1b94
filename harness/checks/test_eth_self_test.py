# SPDX-License-Identifier: BSD-3-Clause
"""The offline self test from within: what each of its parts does to the card, and which fault each finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from device_model.igb.spec.receive import RDBAL
from harness.checks.self_tests import status_around_writes, unlike_the_table, words_read
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.guest.agent import AgentRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.card import Card
    from harness.evidence import Evidence
    from harness.lab import Bound, Lab
    from harness.seen import Seen

WORDS, SUM = 0x40, 0xBABA
EIO = 5
BAD_SUM = "The NVM Checksum Is Not Valid"
LOOPED = 640
"""Ten rounds of 64 frames (Linux igb_run_loopback_test)."""

TEST_TYPE = b"\xff\xff"
"""The type of the frames that igb_create_lbtest_frame makes."""

PASSED = {"register": 0, "eeprom": 0, "interrupt": 0, "loopback": 0, "link": 0}
TEST_S, CARRIER_S = 120.0, 30.0
DRIVER = "/sys/bus/pci/drivers/igb"


@dataclass(frozen=True, slots=True)
class Observed:
    """One run of the test: its five values, what the card saw, and what came over the wire."""

    values: dict[str, int]
    events: list[Seen]
    wire: list[bytes]


@pytest.fixture(scope="module")
def observed(session_lab: Lab) -> Observed:
    """Run the test once for all checks of this file that look at one run: it takes 10 s, for the driver sleeps."""
    bound = session_lab.bound(session_lab.default)
    bound.peer.forget()
    with bound.card.recording("RegisterRead", "RegisterWritten", "FrameEmitted", "FrameArrived") as seen:
        _, values = bound.netif.settings.self_test(seconds=TEST_S)
        bound.netif.wait_carrier(seconds=CARRIER_S)
    return Observed(values, seen.all(), [arrival.frame for arrival in bound.peer.arrivals])


@claim("ETH-02")
@pytest.mark.usefixtures("lab")
def test_every_register_of_the_table_holds_the_patterns(observed: Observed, evidence: Evidence) -> None:
    """19 rows, 343 registers, four patterns each, written and read back as the driver does; STATUS is not moved."""
    accesses = [event for event in observed.events if event.kind in ("RegisterRead", "RegisterWritten")]
    wrong = unlike_the_table(accesses)
    status = status_around_writes(accesses)
    evidence.note(guest={"register": observed.values["register"]}, device={"wrong": wrong[:5], "STATUS": status})
    assert observed.values["register"] == 0
    assert wrong == []
    [(before, after)] = status
    assert before == after


@claim("ETH-03")
def test_the_nvm_sums_to_baba_and_the_driver_insists(observed: Observed, evidence: Evidence, bound: Bound) -> None:
    """The words that the test read sum up; with another sum the driver, bound anew, gives the card up with EIO."""
    words = words_read(observed.events)
    agent = bound.guest.agent
    before = bound.guest.proc.log()[-1].sequence
    address = pci_address(bound)
    bound.card.fault("bad_nvm_checksum", on=True)
    agent.write(f"{DRIVER}/unbind", address)
    refused = bind(bound, address)
    bound.card.fault("bad_nvm_checksum", on=False)
    if refused:
        agent.write(f"{DRIVER}/bind", address)
    said = [record.text for record in bound.guest.proc.log(before) if BAD_SUM in record.text]
    back = f"/sys/class/net/{bound.netif.name}/type"
    wait_until(lambda: agent.exists(back), Deadline.after(10), "the interface coming back")
    evidence.note(
        guest={"eeprom": observed.values["eeprom"], "log": said, "errno": refused},
        device={"words": len(words), "sum": f"{sum(words.values()) & 0xFFFF:04x}"},
    )
    assert observed.values["eeprom"] == 0
    assert sorted(words)[:WORDS] == list(range(WORDS))
    assert sum(words[number] for number in range(WORDS)) & 0xFFFF == SUM
    assert (refused, len(said)) == (EIO, 1)


def bind(bound: Bound, address: str) -> int | None:
    """Bind the driver to a function; return the error number if it gives the card up, None if it does not."""
    try:
        bound.guest.agent.write(f"{DRIVER}/bind", address)
    except AgentRefusedError as error:
        return error.errno
    return None


def pci_address(bound: Bound) -> str:
    """Return the function's address on the bus, as 0000:01:00.0."""
    return bound.netif.settings.driver()["bus-info"]


@claim("ETH-05")
@pytest.mark.usefixtures("lab")
def test_frames_loop_unchanged_and_none_leaves(observed: Observed, evidence: Evidence) -> None:
    """640 frames of the test's own make leave for the card itself; each comes back as it was, none on the wire."""
    sent = [event for event in observed.events if event.kind == "FrameEmitted" and event.frame[12:14] == TEST_TYPE]
    back = [event for event in observed.events if event.kind == "FrameArrived" and event.frame[12:14] == TEST_TYPE]
    leaked = [frame for frame in observed.wire if frame[12:14] == TEST_TYPE]
    evidence.note(
        guest={"loopback": observed.values["loopback"]},
        device={"looped": len(sent), "back": len(back), "leaked to the wire": len(leaked)},
    )
    assert observed.values["loopback"] == 0
    assert len(sent) == LOOPED
    assert all(event.looped for event in sent)
    assert [event.frame for event in back] == [event.frame for event in sent]
    assert leaked == []


SECOND_RING = RDBAL.aliases[0][0] + RDBAL.aliases[0][2]
"""Where the driver tests RDBAL of queue 1: by its old address."""


def stuck_bit(card: Card) -> None:
    """Bit 9 of the second receive ring's base reads as 0."""
    card.fault("stuck_bits", offset=SECOND_RING, mask=1 << 9)


FAULTS: dict[str, tuple[Callable[[Card], Any], int]] = {
    "register": (stuck_bit, SECOND_RING),
    "eeprom": (lambda card: card.fault("bad_nvm_checksum", on=True), 2),
    "interrupt": (lambda card: card.hold_interrupts(0), 4),
    "loopback": (lambda card: card.fault("corrupt_loopback", on=True), 13),
    "link": (lambda card: card.link_down(), 1),
}


@claim("ETH-07")
@pytest.mark.parametrize("parts", [("register", "interrupt"), ("eeprom", "loopback"), ("link",)], ids="+".join)
def test_each_fault_fails_its_own_line(bound: Bound, evidence: Evidence, parts: tuple[str, ...]) -> None:
    """One or two faults at a time, so that every line is seen to pass and to fail.

    The value is the driver's code for what it found: a register's address, 2, 4 (not seen), 13 (frames), 1.
    """
    for part in parts:
        FAULTS[part][0](bound.card)
    passed, values = bound.netif.settings.self_test(seconds=TEST_S)
    bound.card.heal()
    if "link" in parts:
        bound.card.link_up()
    bound.netif.wait_carrier(seconds=CARRIER_S)
    evidence.note(guest={"passed": passed, "values": values}, device={"faults in": list(parts)})
    assert not passed
    assert values == PASSED | {part: FAULTS[part][1] for part in parts}
