# SPDX-License-Identifier: BSD-3-Clause
"""Cards that store, announce or own receive slots wrongly."""

from __future__ import annotations

from itertools import count
from struct import unpack
from typing import TYPE_CHECKING, Any, cast

from device_model.igb import receive as receive_module
from device_model.igb.rx_status import write_back_status
from device_model.igb.spec.descriptors import RxWriteback
from device_model.igb.spec.general import CTRL
from device_model.packet import vlan
from device_model.ring import SLOT, Ring

if TYPE_CHECKING:
    from device_model.igb.filters import Steering
    from device_model.igb.nic import Igb
    from device_model.packet.parse import Parsed
    from device_model.ports import Clock, HostMemory
    from emulator.card import Card

MUTANTS = {
    "ING-01": "message_before_frame",
    "ING-02": "slot_at_the_tail_is_written",
    "ING-03": "length_before_payload",
    "ING-04": "two_slots_a_frame",
    "ING-05": "every_50th_frame_twice",
    "ING-06": "every_slot_ends_a_frame",
    "ING-07": "rlpml_is_ignored",
    "ING-08": "errors_are_not_told",
    "ING-09": "every_50th_frame_twice",
    "ING-10": "every_16th_frame_twice",
    "ING-11": "every_16th_frame_twice",
    "ING-12": "every_16th_frame_twice",
    "ING-13": "tag_bytes_exchanged",
    "ING-14": "tag_is_stripped_whatever_vme_says",
    "ING-15": "every_vlan_passes",
    "ING-16": "every_address_passes",
    "ING-17": "every_16th_frame_twice",
    "ING-18": "long_frames_land_on_the_next_queue",
    "ING-19": "every_checksum_is_good",
    "ING-20": "slot_at_the_tail_is_written",
    "ING-21": "every_16th_frame_twice",
}
LATE_NS = 20_000_000
QUEUES, LONG = 4, 100


class LatePayload:
    """Memory whose byte stores happen 20 ms after they were asked for; descriptors are stored at once."""

    def __init__(self, memory: HostMemory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock
        self.store64 = memory.store64

    def write(self, iova: int, data: bytes) -> None:
        """Store ``data`` later."""
        self._clock.call_at(self._clock.now_ns() + LATE_NS, lambda: self._memory.write(iova, bytes(data)))


def message_before_frame(card: Card) -> None:
    """The message leaves before the frame is stored, and none after."""
    receiver, interrupts = _igb(card).receiver, _igb(card).interrupts
    store, raise_ = receiver._store, interrupts.raise_receive

    def early(ring: Ring, *frame: Any, **how: Any) -> None:
        raise_(ring.queue)
        store(ring, *frame, **how)

    def never(queue: int) -> None:
        """Do nothing for ``queue``: its message has left."""

    interrupts.raise_receive = never  # type: ignore[method-assign]
    receiver._store = early  # type: ignore[method-assign]


def slot_at_the_tail_is_written(card: Card) -> None:
    """When the ring is empty the card takes one slot more, which is the driver's."""
    receiver, take = _igb(card).receiver, Ring.take
    room = receiver._room

    def empty(ring: Ring) -> bool:
        return ring.direction == "rx" and ring.enabled and ring.count > 0 and ring.head == ring.tail

    def greedy(ring: Ring) -> tuple[int, int, int] | None:
        slot = take(ring)
        if slot is None and empty(ring):
            address, header = unpack("<QQ", card.memory.read(ring.address(ring.tail), SLOT))
            slot = ring.tail, address, header
        return slot

    receiver._room = lambda ring, length: room(ring, length) or empty(ring)  # type: ignore[method-assign]
    Ring.take = greedy  # type: ignore[assignment, method-assign]


def length_before_payload(card: Card) -> None:
    """The descriptor shows a length while the payload is still under way."""
    receiver = _igb(card).receiver
    receiver._memory = cast("HostMemory", LatePayload(card.memory, card.clock))


def two_slots_a_frame(card: Card) -> None:
    """A buffer takes 32 bytes only, so that the shortest frame fills two."""
    receiver = _igb(card).receiver
    settings = receiver._queue_settings
    receiver._queue_settings = lambda queue: settings(queue)._replace(buffer_size=32)  # type: ignore[method-assign]


def every_50th_frame_twice(card: Card) -> None:
    """One frame in 50 is stored once more."""
    _repeat(card, 50)


def every_16th_frame_twice(card: Card) -> None:
    """One frame in 16 is stored once more."""
    _repeat(card, 16)


def every_slot_ends_a_frame(card: Card) -> None:
    """EOP is set in every slot of a frame that spans several."""
    receiver = _igb(card).receiver
    write = receiver._write

    def ended(ring: Ring, index: int, buffer: int, chunk: bytes, words: tuple[int, int]) -> bool:
        return write(ring, index, buffer, chunk, (words[0], words[1] | RxWriteback.eop.mask))

    receiver._write = ended  # type: ignore[method-assign]


def rlpml_is_ignored(card: Card) -> None:
    """A frame may be as long as the card can take."""
    _forgive(card, "oversize")


def every_vlan_passes(card: Card) -> None:
    """The filter table for VLANs is ignored."""
    _forgive(card, "vlan")


def every_address_passes(card: Card) -> None:
    """The filters for addresses are ignored."""
    _forgive(card, "address")


def errors_are_not_told(_card: Card) -> None:
    """No error of a frame reaches its descriptor."""
    _hide(
        RxWriteback.ce.mask | RxWriteback.se.mask | RxWriteback.seq.mask | RxWriteback.cxe.mask | RxWriteback.rxe.mask
    )


def every_checksum_is_good(_card: Card) -> None:
    """No wrong checksum reaches a descriptor."""
    _hide(RxWriteback.l4e.mask | RxWriteback.ipe.mask)


def tag_bytes_exchanged(_card: Card) -> None:
    """The VLAN tag in the descriptor has its bytes in the other order."""
    strip = vlan.strip

    def swapped(frame: bytes) -> tuple[bytes, int]:
        rest, tag = strip(frame)
        return rest, int.from_bytes(tag.to_bytes(2, "big"), "little")

    vars(vlan)["strip"] = swapped


def tag_is_stripped_whatever_vme_says(card: Card) -> None:
    """The tag never stays in memory, and the descriptor tells it."""
    receiver = _igb(card).receiver
    store = receiver._store

    def stripping(*frame: Any, **how: Any) -> None:
        regs = receiver._regs
        before = regs.peek(CTRL)
        regs.poke(CTRL, before | CTRL.vme.mask)
        store(*frame, **how)
        regs.poke(CTRL, before)

    receiver._store = stripping  # type: ignore[method-assign]


def long_frames_land_on_the_next_queue(card: Card) -> None:
    """A datagram over 100 bytes goes to the queue behind the one that the table names."""
    receiver = _igb(card).receiver
    arrive, steer, length = receiver.arrive, receiver._steer, [0]

    def measured(frame: bytes, **how: Any) -> None:
        length[0] = len(frame)
        arrive(frame, **how)

    def beside(parsed: Parsed) -> Steering:
        right = steer(parsed)
        return right._replace(queue=(right.queue + 1) % QUEUES) if length[0] > LONG else right

    receiver.arrive = measured  # type: ignore[method-assign]
    receiver._steer = beside  # type: ignore[method-assign]


def _forgive(card: Card, reason: str) -> None:
    filters = _igb(card).receiver.filters
    refusal = filters.refusal

    def lenient(frame: bytes) -> str | None:
        why = refusal(frame)
        return None if why == reason else why

    filters.refusal = lenient  # type: ignore[method-assign]


def _hide(bits: int) -> None:
    def without(*frame: Any, **how: Any) -> int:
        return write_back_status(*frame, **how) & ~bits

    vars(receive_module)["write_back_status"] = without


def _repeat(card: Card, every: int) -> None:
    receiver, number = _igb(card).receiver, count(1)
    store = receiver._store

    def again(*frame: Any, **how: Any) -> None:
        store(*frame, **how)
        if next(number) % every == 0:
            store(*frame, **how)

    receiver._store = again  # type: ignore[method-assign]


def _igb(card: Card) -> Igb:
    return cast("Igb", card.nic)
