# SPDX-License-Identifier: BSD-3-Clause
"""Rules on a card's process, on both engines: it stands where it was told to, and misbehaves when it was told to."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from harness.card import Card
from harness.deadline import Deadline, wait_until
from harness.emulator import CardOptions, CardProcess, CardSockets
from harness.errors import NotSeen, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.stopped import Stopped

CTRL, STATUS, WUC = 0x00000, 0x00008, 0x05800
BROADCAST = b"\xff" * 6 + b"\2\0\0\0\0\7" + b"\x88\xb5" + bytes(46)
SOON_S = 10


@contextmanager
def running(folder: Path, engine: str, *faults: str) -> Iterator[CardSockets]:
    sockets = CardSockets(*(folder / name for name in ("vfio", "control", "wire", "peer")))
    with CardProcess(CardOptions(engine=engine, faults=faults), sockets, folder / "card") as process:
        process.wait_ready()
        yield sockets


@pytest.fixture(params=["native", "python"])
def sockets(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CardSockets]:
    with running(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def card(sockets: CardSockets) -> Iterator[Card]:
    with Card(sockets.control, patience_s=SOON_S) as client:
        yield client


@contextmanager
def doing(sockets: CardSockets, *writes: tuple[int, int]) -> Iterator[None]:
    """Write registers over a connection of its own, which has to wait while the card stands."""
    failed: list[BaseException] = []

    def write() -> None:
        try:
            with Card(sockets.control, patience_s=30) as other:
                for offset, value in writes:
                    other.write_register(offset, value)
                other.read_register(STATUS)
                other.inject(BROADCAST)
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    yield
    thread.join(SOON_S)
    assert not thread.is_alive()
    assert not failed


def where(stopped: Stopped) -> tuple[str, str, int]:
    event = stopped.event
    value = event.fields.get("value")
    return stopped.side, event.kind, -1 if value is None else value


def test_the_card_stands_on_either_side_of_a_register_access(sockets: CardSockets, card: Card) -> None:
    card.stop_when("before RegisterWritten register=WUC value=2")
    card.stop_when("after RegisterWritten register=WUC value=2")
    card.stop_when("before RegisterRead register=STATUS")
    card.stop_when("after RegisterRead register=STATUS")
    with doing(sockets, (WUC, 1), (WUC, 2)):
        assert where(card.wait_stopped()) == ("before", "RegisterWritten", 2)
        assert card.register("WUC") == 1
        card.resume()
        assert where(card.wait_stopped()) == ("after", "RegisterWritten", 2)
        assert card.register("WUC") == 2
        card.resume()
        assert where(card.wait_stopped()) == ("before", "RegisterRead", 0)
        card.resume()
        assert where(card.wait_stopped())[:2] == ("after", "RegisterRead")
        card.resume()
    assert card.stopped() is None


def test_a_stop_can_end_by_itself(sockets: CardSockets, card: Card) -> None:
    number = card.stop_when("RegisterWritten register=WUC", for_us=300_000)
    with doing(sockets, (WUC, 1)):
        assert where(card.wait_stopped()) == ("before", "RegisterWritten", 1)
        wait_until(lambda: card.stopped() is None, Deadline.after(SOON_S), "the card's going on by itself")
    assert card.register("WUC") == 1
    card.unrule(number)
    card.stop_when("RegisterWritten register=WUC", for_us=10_000_000)
    with doing(sockets, (WUC, 2)):
        card.wait_stopped()
        card.resume()


def test_a_standing_card_shows_itself_and_does_nothing_else(sockets: CardSockets, card: Card) -> None:
    number = card.stop_when("RegisterWritten register=WUC")
    with doing(sockets, (WUC, 1)):
        stopped = card.wait_stopped()
        assert (stopped.rule, card.describe()["process"] > 0, len(card.registers()) > 100) == (number, True, True)
        assert card.ring("tx", 0)["head"] == 0
        with pytest.raises(UsageError, match="the card stands before RegisterWritten: resume must come first"):
            card.inject(BROADCAST)
        with pytest.raises(UsageError, match="resume must come first"):
            card.hold_interrupts(1)
        with pytest.raises(UsageError, match="must lie in mapped guest memory"):
            card.memory(0x1000, 16)
        card.unrule(number)
        card.resume()
    with pytest.raises(UsageError, match="the card must stand at an event, and it runs"):
        card.resume()


def test_steps_lead_from_event_to_event(sockets: CardSockets, card: Card) -> None:
    card.stop_when("RegisterWritten register=WUC")
    with doing(sockets, (WUC, 1), (CTRL, 0)):
        card.wait_stopped()
        assert card.step().event.register == "CTRL"
        assert card.step("FrameDropped reason=*").event.kind == "FrameDropped"
        card.resume()
    assert [rule["text"] for rule in card.rules()] == ["stop when RegisterWritten register=WUC"]


def test_nth_since_and_a_predicate_choose_the_event(sockets: CardSockets, card: Card) -> None:
    card.stop_when("RegisterWritten where='value & 4 and reg(\"WUC\") < 9' nth=2 since RegisterWritten value=0x10")
    with doing(sockets, (WUC, 4), (WUC, 0x10), (WUC, 12), (WUC, 5), (WUC, 6), (WUC, 7)):
        assert where(card.wait_stopped()) == ("before", "RegisterWritten", 6)
        card.unrule()
        card.resume()


def test_a_fault_takes_force_at_its_event_and_once(card: Card) -> None:
    card.rule("hold_interrupts vector=3 when RegisterWritten register=WUC nth=2")
    card.rule("reset kind=function-level when RegisterWritten register=WUC value=9")
    card.write_register(WUC, 1)
    assert card.faults() == {}
    card.write_register(WUC, 2)
    assert card.faults() == {"held_vectors": [3]}
    card.release_interrupts(3)
    card.write_register(WUC, 3)
    assert card.faults() == {}
    with card.recording("DeviceReset") as seen:
        card.write_register(WUC, 9)
        assert [event.how for event in seen.wait(1)] == ["function-level"]
    assert card.register("WUC") == 0
    card.heal()
    assert card.rules() == []


def test_a_fault_can_come_some_time_after_its_event(card: Card) -> None:
    card.rule("reset delay_us=50000 when RegisterWritten register=WUC")
    card.write_register(WUC, 1)
    assert card.register("WUC") == 1
    with card.recording("DeviceReset", "RegisterWritten") as seen:
        [written, *_] = card.last_events()[-1:]
        [reset] = seen.wait(1, kind="DeviceReset")
    assert (written.kind, written.register) == ("RegisterWritten", "WUC")
    assert reset.t_ns - written.t_ns >= 50_000_000


def test_healing_takes_back_what_is_yet_to_come(card: Card) -> None:
    card.rule("hold_interrupts vector=3 when RegisterWritten register=WUC")
    card.stop_when("FrameEmitted")
    card.heal()
    card.write_register(WUC, 1)
    assert (card.faults(), [rule["text"] for rule in card.rules()]) == ({}, ["stop when FrameEmitted"])


def test_a_breakpoint_that_never_fires_says_what_it_has_met(card: Card) -> None:
    card.stop_when("RegisterWritten register=WUC value=7")
    card.write_register(WUC, 1)
    with pytest.raises(NotSeen, match="rule 1 waits for RegisterWritten register=WUC value=7, has met 1 of that kind"):
        card.wait_stopped(Deadline.after(0.1))


def test_a_predicate_that_raises_gives_the_rule_up_with_a_sentence(card: Card) -> None:
    card.stop_when("RegisterWritten where=nobody>1")
    card.write_register(WUC, 1)
    with pytest.raises(UsageError, match="raises NameError: name 'nobody' is not defined"):
        card.wait_stopped()
    card.write_register(WUC, 2)
    assert card.rules()[0]["waits_for"] is None


def test_breakpoints_leave_with_whoever_set_them(sockets: CardSockets, card: Card) -> None:
    first = Card(sockets.control)
    first.stop_when("RegisterWritten register=WUC")
    first.rule("hold_interrupts vector=2 when FrameEmitted")
    with doing(sockets, (WUC, 1), (WUC, 2)):
        card.wait_stopped()
        first.close()
    assert card.stopped() is None
    assert [rule["text"] for rule in card.rules()] == ["hold_interrupts vector=2 when FrameEmitted"]
    assert card.register("WUC") == 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stop", "a rule must have the form ACTION"),
        ("stop when", "an event must be named, as InterruptSent"),
        ("stop when Nothing", r"an event must be \* or one of AutoMasked, .*, not 'Nothing'"),
        ("stop when TxDescriptor vector=1", "a field of TxDescriptor must be one of t_ns, queue, index, raw, not 'vec"),
        ("stop when TxDescriptor queue=two", "queue must be a number, not 'two'"),
        ("stop when FrameEmitted looped=1", "looped must be true or false, not '1'"),
        ("stop when TxDescriptor raw=xyz", "raw must be hexadecimal, not 'xyz'"),
        ("stop when TxDescriptor queue", "a condition must have the form field=value"),
        ("stop when TxDescriptor nth=0", "nth must be a number from 1 on, not '0'"),
        ("stop when TxDescriptor where='1 +'", "where must be an expression of Python, not '1 \\+'"),
        ("stop when before TxDescriptor", "TxDescriptor can be met only after it has happened; DmaRead, DmaWrite"),
        ("stop when FrameDropped reason>a", "reason can be = or != to something, and not >"),
        ("stop queue=1 when TxDescriptor", "stop must have no argument but times and for_us, not queue"),
        ("stop for_us=0 when TxDescriptor", "for_us must be a number from 1 to 10000000, not 0"),
        ("stop for_us=soon when TxDescriptor", "for_us must be a number from 1 to 10000000, not 'soon'"),
        ("stop times=0 when TxDescriptor", "times must be a number from 1 on or always, not 0"),
        (
            "hold_interrupts vector=1 delay_us=-1 when TxDescriptor",
            "delay_us must be a number from 0 to 3600000000, not -1",
        ),
        ("stop delay_us=1 when TxDescriptor", "a stop must come at its event"),
        ("hold_interrupts vector=99 when TxDescriptor", "vector must be a number from 0 to 24, not 99"),
        ("release_completions queue=16 when TxDescriptor", "queue must be a number from 0 to 15, not 16"),
        ("nonsense when TxDescriptor", "a fault must be one of"),
        ("link state=sideways when TxDescriptor", "state must be one of up, down, not 'sideways'"),
        ("rate mbps=0 when TxDescriptor", "mbps must be a number from 1 to"),
        ("stop when 'TxDescriptor", "a line must have closed quotes"),
        ("stop when TxDescriptor since", "an event must be named"),
    ],
)
def test_a_rule_that_is_impossible_is_refused_with_the_reason(shared_card: Card, text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        shared_card.rule(text)
    assert shared_card.rules() == []


@pytest.fixture(scope="module")
def shared_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Card]:
    with running(tmp_path_factory.mktemp("rules"), "native") as made, Card(made.control) as client:
        yield client


@pytest.mark.parametrize("engine", ["native", "python"])
def test_a_rule_of_the_command_line_is_in_force_from_the_start(tmp_path: Path, engine: str) -> None:
    text = "drop_interrupts vector=2 when InterruptSent vector=2 nth=2 since LinkChanged speed_mbps>0"
    with running(tmp_path, engine, text, "link state=down") as made, Card(made.control) as card:
        assert [rule["text"] for rule in card.rules()] == [text]
        assert not card.register("STATUS") & 2


def test_there_is_a_limit_to_the_number_of_rules(shared_card: Card) -> None:
    for _ in range(64):
        shared_card.stop_when("FrameEmitted")
    with pytest.raises(UsageError, match="there must be at most 64 rules at a time"):
        shared_card.stop_when("FrameEmitted")
    with pytest.raises(UsageError, match="a rule must be one of those in force"):
        shared_card.unrule(9999)
    shared_card.unrule()
