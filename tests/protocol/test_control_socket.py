# SPDX-License-Identifier: BSD-3-Clause
"""The control socket on a real card model, served by a loop like the emulator's, used by bare sockets and by Card."""

from __future__ import annotations

import json
import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from device_model.igb.faults import COMMANDS
from device_model.nic import LinkPartner
from emulator.control import ControlServer
from emulator.control.commands import Commands
from emulator.control.server import LINE_MAX
from emulator.recorder import KINDS, Recorder
from emulator.wires.loopback import LoopbackWire
from harness.card import Card
from harness.deadline import Deadline
from harness.errors import LabBroken, NotSeen, UsageError
from tests.model.igb.world import World
from tests.protocol.served_card import Bench, Served, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


BROADCAST = b"\xff" * 6 + b"\2\0\0\0\0\7" + b"\x88\xb5" + b"control" * 8


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path / "control") as one:
        yield one


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One card for all tests that leave it as it was."""
    with serving(tmp_path_factory.mktemp("shared") / "control") as one:
        yield one


@pytest.fixture
def card(served: Served) -> Iterator[Card]:
    with Card(served.path, patience_s=5) as client:
        yield client


class Line:
    """A client that writes bytes and reads lines."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(str(path))
        self.file = self.sock.makefile("rb")

    def ask(self, line: bytes) -> dict[str, Any]:
        self.sock.sendall(line + b"\n")
        answer: dict[str, Any] = json.loads(self.file.readline())
        return answer

    def close(self) -> None:
        self.file.close()
        self.sock.close()


@pytest.fixture
def line(shared: Served) -> Iterator[Line]:
    client = Line(shared.path)
    yield client
    client.close()


# -- the protocol -----------------------------------------------------------------------------------------


def test_answer_carries_the_id_of_its_request(line: Line) -> None:
    for number in (7, "seven", None):
        answer = line.ask(json.dumps({"id": number, "command": "faults"}).encode())
        assert answer == {"id": number, "ok": True, "result": {}}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"{", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "JSON"),
        (b"[1]", "object, not list"),
        (b"{}", "not None"),
        (b'{"command":"explode"}', "not 'explode'"),
        (b'{"command":["fault"]}', "not ['fault']"),
        (b'{"command":"faults","why":1}', "why is not known"),
        (b'{"command":"read_register"}', "offset must be given"),
        (b'{"command":"read_register","offset":"8"}', "not '8'"),
        (b'{"command":"read_register","offset":true}', "not True"),
        (b'{"command":"read_register","offset":131072}', "131072"),
        (b'{"command":"read_register","offset":6}', "multiple of 4, not 0x6"),
        (b'{"command":"write_register","offset":8,"value":4294967296}', "4294967296"),
        (b'{"command":"registers","names":["RDT[16]"]}', "RDT[16]"),
        (b'{"command":"registers","names":"RDT"}', "not 'RDT'"),
        (b'{"command":"ring","direction":"up","queue":0}', "not 'up'"),
        (b'{"command":"ring","direction":"rx","queue":16}', "not 16"),
        (b'{"command":"link","state":"up","speeds":[2500]}', "not [2500]"),
        (b'{"command":"link","state":"up","speeds":[]}', "not []"),
        (b'{"command":"rate","mbps":0}', "not 0"),
        (b'{"command":"rate","mbps":"fast"}', "not 'fast'"),
        (b'{"command":"inject","frames":["0"]}', "not '0'"),
        (b'{"command":"inject","frames":["00"]}', "not 1"),
        (b'{"command":"events","kinds":["Nothing"]}', "not 'Nothing'"),
        (b'{"command":"events","since":-1}', "not -1"),
        (b'{"command":"record","kinds":5}', "not 5"),
        (b'{"command":"reset","kind":"kick"}', "not 'kick'"),
        (b'{"command":"fault","name":"no_such_fault"}', "not 'no_such_fault'"),
        (b'{"command":"fault","name":"hold_interrupts","vector":25}', "not 25"),
        (b'{"command":"fault","name":"hold_interrupts"}', "vector"),
        (b'{"command":"fault","name":"force_rss","rss_hash":[1]}', "not [1]"),
    ],
)
def test_bad_request_gets_a_sentence_and_keeps_its_connection(line: Line, text: bytes, sentence: str) -> None:
    answer = line.ask(text)
    assert answer["ok"] is False
    assert sentence in answer["error"]
    assert line.ask(b'{"id":2,"command":"faults"}') == {"id": 2, "ok": True, "result": {}}


def test_requests_in_one_write_are_answered_in_order(line: Line) -> None:
    line.sock.sendall(b"".join(b'{"id":%d,"command":"faults"}\n' % number for number in range(500)))
    assert [json.loads(line.file.readline())["id"] for _ in range(500)] == list(range(500))


def test_request_in_pieces_is_answered_once_whole(line: Line) -> None:
    text = b'{"id":1,"command":"faults"}\n'
    for at in range(len(text)):
        line.sock.sendall(text[at : at + 1])
    assert json.loads(line.file.readline())["id"] == 1


def test_short_requests_after_a_long_one_in_pieces_are_all_seen(line: Line) -> None:
    line.sock.sendall(b'{"id":1,"command":"faults"' + b" " * 500)
    assert select.select([line.sock], [], [], 0.05)[0] == []
    line.sock.sendall(b'}\n{"id":2,"command":"faults"}\n{"id":3,"command":"faults"}\n')
    assert [json.loads(line.file.readline())["id"] for _ in range(3)] == [1, 2, 3]


def test_endless_line_ends_the_connection_with_a_sentence(line: Line, shared: Served) -> None:
    with pytest.raises(OSError):  # noqa: PT012 - which write meets the hang-up depends on timing
        for _ in range(LINE_MAX // 65536 + 64):
            line.sock.sendall(b" " * 65536)
    other = Line(shared.path)
    assert other.ask(b'{"id":1,"command":"faults"}')["ok"] is True
    other.close()


def test_client_that_does_not_read_is_dropped_and_others_are_served(
    line: Line, shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.control.server.UNREAD_MAX", 1 << 20)
    line.sock.setblocking(False)
    request = b'{"command":"registers"}\n' * 200
    sent = 0
    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
        while sent < 100_000_000:
            try:
                sent += line.sock.send(request)
            except BlockingIOError:
                select.select([], [line.sock], [], 5)
    other = Line(shared.path)
    assert other.ask(b'{"id":1,"command":"faults"}')["ok"] is True
    other.close()


def test_second_card_on_the_same_path_replaces_a_dead_ones_socket(tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "control"))
    dead.close()
    world = World()
    wire = LoopbackWire()
    server = ControlServer(str(tmp_path / "control"), Bench(world.nic, wire, world.clock, world.memory, world.messages))
    server.close()
    server.close()
    wire.close()
    assert server.filenos() == []
    server.ready(0)


def test_mistake_in_a_command_is_answered_and_the_card_lives(
    line: Line, shared: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(shared.server._commands._card.nic.__class__, "statistics_snapshot", lambda _nic: broken())
    answer = line.ask(b'{"id":3,"command":"statistics"}')
    assert answer == {"id": 3, "ok": False, "error": "the card failed to do this: ZeroDivisionError: a mistake of ours"}
    assert line.ask(b'{"id":4,"command":"faults"}')["ok"] is True


# -- the commands, through the harness's client -------------------------------------------------------------


def test_describe_names_the_parts_and_the_commands(card: Card) -> None:
    told = card.describe()
    assert (told["nic"], told["wire"]["kind"], told["interrupts"]) == ("Igb", "LoopbackWire", "msix")
    assert {"events", "fault", "ring"} < set(told["commands"])
    assert card.wire_counts() == {"emitted": 0, "arrived": 0, "dropped": 0, "malformed": 0}


def test_register_written_over_the_socket_is_read_back_and_seen(card: Card) -> None:
    with card.recording("RegisterWritten") as seen:
        card.write_register(0x5400, 0x0403_0201)
    [written] = seen.all()
    assert (written.kind, written.offset, written.value) == ("RegisterWritten", 0x5400, 0x0403_0201)
    assert card.read_register(0x5400) == 0x0403_0201
    assert card.register("RAL", 0) == 0x0403_0201
    assert set(card.registers("RAL[0]", "CTRL")) == {"RAL[0]", "CTRL"}


def test_injected_frame_arrives_at_the_nic(card: Card) -> None:
    with card.recording("FrameArrived") as seen:
        card.inject(BROADCAST, BROADCAST[::-1])
    assert [event.frame for event in seen.all()] == [BROADCAST, BROADCAST[::-1]]
    assert card.counts()["FrameArrived"] == 2


def test_recording_ends_where_its_context_ends(card: Card) -> None:
    card.inject(BROADCAST)
    with card.recording("FrameArrived") as seen:
        card.inject(BROADCAST + b"1")
        assert len(seen.all()) == 1
        card.inject(BROADCAST + b"22")
    card.inject(BROADCAST + b"333")
    assert [len(event.frame) - len(BROADCAST) for event in seen.all()] == [1, 2]


def test_recording_adds_quiet_kinds_for_its_time_only(card: Card) -> None:
    before = card.call("record", kinds="default")["kinds"]
    assert "RegisterRead" not in before
    with card.recording("RegisterRead") as seen:
        card.read_register(8)
    card.read_register(8)
    [read] = seen.all()
    assert read.register == "STATUS"
    assert card.call("record", kinds="default")["before"] == before


def test_waiting_for_an_event_that_does_not_come_is_the_labs_fault(card: Card) -> None:
    with card.recording("FrameArrived") as seen, pytest.raises(NotSeen, match="1 events of FrameArrived"):
        seen.wait(1, Deadline.after(0.05))


def test_recording_nothing_stops_observing_and_null_keeps_all(card: Card) -> None:
    assert card.call("record", kinds=[])["kinds"] == []
    card.inject(BROADCAST)
    assert card.counts()["FrameArrived"] == 0
    assert set(card.call("record", kinds=None)["kinds"]) == set(KINDS)
    card.inject(BROADCAST)
    assert card.counts()["FrameArrived"] == 1


def test_events_page_by_limit_without_gap_or_overlap(card: Card) -> None:
    start = card.call("events", limit=0)["next"]
    for number in range(25):
        card.inject(BROADCAST + bytes([number]))
    found, at = [], start
    while True:
        page = card.call("events", since=at, kinds=["FrameArrived"], limit=7)
        if not page["events"]:
            break
        assert len(page["events"]) <= 7
        found += [bytes.fromhex(event["frame"])[-1] for event in page["events"]]
        at = page["next"]
    assert found == list(range(25))


def test_fault_is_in_force_until_healed(card: Card) -> None:
    card.hold_interrupts(3)
    card.withhold_completions(1)
    held = card.faults()
    assert held["held_vectors"] == [3]
    assert held["withheld_queues"] == [1]
    card.release_interrupts(3)
    assert "held_vectors" not in card.faults()
    assert card.release_completions(1) == 0
    card.heal()
    assert card.faults() == {}


METHODS: dict[str, tuple[Callable[[Card], None], dict[str, object]]] = {
    "duplicate_interrupts": (lambda card: card.duplicate_interrupts(2, 3), {"duplicates": {"2": 3}}),
    "drop_interrupts": (lambda card: card.drop_interrupts(2, 3, "after-mask"), {"drop_after_mask": {"2": 3}}),
    "no_auto_mask": (lambda card: card.no_auto_mask(), {"no_auto_mask_on": True}),
    "transmit_nothing": (lambda card: card.transmit_nothing(), {"transmit_nothing_on": True}),
    "receive_write_back": (lambda card: card.receive_write_back(1, "zero-length", 2), {"zero_length_left": {"1": 2}}),
    "receive_errors": (lambda card: card.receive_errors(4), {"force_rx_errors": 4}),
    "force_rss": (lambda card: card.force_rss(queue=3), {"forced_rss": {"queue": 3}}),
    "force_checksum": (lambda card: card.force_checksum(32), {"forced_checksum": 32}),
    "prompt_doorbells": (lambda card: card.prompt_doorbells(), {"prompt_doorbells_on": True}),
    "tx_off": (lambda card: card.tx_off(), {"tx_off_on": True}),
    "bad_nvm_checksum": (lambda card: card.bad_nvm_checksum(), {"bad_nvm_checksum_on": True}),
    "ignore_eics": (lambda card: card.ignore_eics(), {"ignore_eics_on": True}),
    "ignore_eitr": (lambda card: card.ignore_eitr(), {"ignore_eitr_on": True}),
    "no_tx_timestamp": (lambda card: card.no_tx_timestamp(), {"no_tx_timestamp_on": True}),
    "corrupt_loopback": (lambda card: card.corrupt_loopback(), {"corrupt_loopback_on": True}),
    "stuck_bits": (lambda card: card.stuck_bits(0x100, 2), {"stuck": {"256": 2}}),
    "read_all_ones": (lambda card: card.read_all_ones(), {"all_ones": True}),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_typed_fault_is_the_fault_of_its_name(card: Card, name: str) -> None:
    act, expected = METHODS[name]
    act(card)
    assert expected.items() <= card.faults().items()
    card.heal()
    assert card.faults() == {}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_fault_has_a_typed_method(name: str) -> None:
    assert callable(getattr(Card, "heal" if name == "clear" else name))


def test_a_fault_can_be_written_as_text(card: Card) -> None:
    card.fault_as("drop_interrupts vector=0x2 count=3 when=before-mask")
    card.fault_as("ignore_eitr on=true")
    assert card.faults() == {"drop_before_mask": {"2": 3}, "ignore_eitr_on": True}
    with pytest.raises(UsageError, match="vector must be a number from 0 to 24, not 99"):
        card.fault_as("drop_interrupts vector=99")
    with pytest.raises(UsageError, match="must have the form name=value, not 'two'"):
        card.fault_as("drop_interrupts two")


def test_link_down_pulls_the_cable_and_up_plugs_in_what_was_asked(
    card: Card, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    partners: list[LinkPartner | None] = []
    monkeypatch.setattr(served.nic, "connect", partners.append)
    card.link_down()
    card.link_up()
    card.link_up(100, 10, pause=False, full_duplex=False)
    assert partners == [None, LinkPartner(), LinkPartner(frozenset({10, 100}), False, False, False)]


def test_rate_and_reset_reach_the_nic_as_they_are(card: Card, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int | str] = []
    monkeypatch.setattr(served.nic, "set_rate", heard.append)
    for rate in (250, "unlimited", "auto"):
        card.rate(rate)
    assert heard == [250, "unlimited", "auto"]
    with card.recording("DeviceReset") as seen:
        card.reset("function-level")
    [reset] = seen.all()
    assert (reset.kind, reset.how) == ("DeviceReset", "function-level")


def test_ring_and_statistics_are_those_of_the_nic(card: Card, served: Served) -> None:
    card.write_register(0xE008 + 15 * 0x40, 64 * 16)  # TDLEN[15]
    assert card.ring("tx", 15)["count"] == 64
    assert card.ring("rx", 15)["count"] == 0
    assert card.statistics() == served.nic.statistics_snapshot()


def test_refusal_is_the_callers_mistake_with_the_cards_sentence(card: Card) -> None:
    with pytest.raises(UsageError, match="queue must be a number from 0 to 15, not 99"):
        card.ring("rx", 99)
    assert card.faults() == {}


def test_silent_card_breaks_the_lab_within_the_deadline(tmp_path: Path) -> None:
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(tmp_path / "control"))
    door.listen()
    with Card(tmp_path / "control", patience_s=0.05) as card, pytest.raises(LabBroken, match="faults"):
        card.faults()
    door.close()


def test_absent_card_breaks_the_lab(tmp_path: Path) -> None:
    with pytest.raises(LabBroken, match="control"):
        Card(tmp_path / "control")


# -- the manual ----------------------------------------------------------------------------------------------


def test_manual_names_every_command_and_fault() -> None:
    world = World()
    commands = Commands(
        Bench(world.nic, LoopbackWire(), world.clock, world.memory, world.messages), Recorder(world.nic)
    )
    manual = (Path(__file__).parents[2] / "docs" / "control.md").read_text()
    missing = [name for name in (*commands.names, *COMMANDS) if f"`{name}`" not in manual]
    assert missing == []
