# SPDX-License-Identifier: BSD-3-Clause
"""Cards that depart from the 82576 as QEMU's own igb does, in one way each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from device_model.igb.interrupts import INT_ASSERTED
from device_model.igb.spec import phy
from device_model.igb.spec.general import CTRL, EECD
from device_model.igb.spec.interrupts import EIAC, EICS, EITR, ICR, IVAR_MISC
from device_model.igb.spec.statistics import RUC
from device_model.igb.spec.timesync import RXSATRH, RXSTMPH, SYSTIMH
from device_model.igb.spec.transmit import TXCTL, TXDCTL

if TYPE_CHECKING:
    from emulator.card import Card

MUTANTS: dict[str, str] = {
    "DEV-01": "interval_is_taken_four_times",
    "DEV-02": "eiam_masks_nothing",
    "DEV-03": "eiac_only_gathers_ones",
    "DEV-04": "latch_is_freed_by_rxsatrh",
    "DEV-05": "only_sync_by_ethernet_is_stamped",
    "DEV-06": "length_comes_before_dd",
    "DEV-07": "short_frames_are_runts",
    "DEV-08": "eeprom_is_never_granted",
    "DEV-09": "drops_are_not_counted",
    "DEV-11": "reset_asserted_goes_where_the_timer_does",
    "DEV-12": "eics_reads_as_zero",
    "DEV-13": "every_receive_descriptor_is_advanced",
    "DEV-14": "software_reset_takes_the_phy_along",
    "DEV-15": "phy_has_one_page",
    "DEV-16": "ethertype_filters_choose_nothing",
    "DEV-17": "pause_frames_are_not_counted",
    "DEV-18": "clock_cannot_be_set",
    "DEV-19": "enabling_a_queue_leaves_its_head",
    "DEV-21": "serial_number_is_not_shown",
    "DEV-22": "old_address_is_of_queue_nine",
    "DEV-23": "oversize_frames_are_not_counted",
    "DEV-24": "tags_are_inserted_always",
    "DEV-25": "frames_leave_within_the_doorbell",
}

EXTENDED, SERIAL_NUMBER = 0x100, 0x0003


def igb(card: Card) -> Any:
    """Return the NIC of the card, of which a mutant may change anything."""
    return card.nic


def interval_is_taken_four_times(card: Card) -> None:
    """EITR's value, which is the interval times four, is taken for microseconds."""
    irq = igb(card).interrupts

    def start(vector: int) -> None:
        irq._quiet_until[vector] = irq._clock.now_ns() + 4000 * EITR.interval.of(irq._regs.peek(EITR, vector))

    irq._start_moderation = start


def eiam_masks_nothing(card: Card) -> None:
    """Sending a message leaves its vector unmasked."""
    faults = igb(card).faults

    class Never:
        """Faults that heal to what they are: no automatic mask."""

        no_auto_mask_on = True

        def __getattr__(self, name: str) -> Any:
            return getattr(faults, name)

    igb(card).interrupts._faults = Never()


def eiac_only_gathers_ones(card: Card) -> None:
    """A bit of EIAC that is set once stays set."""
    regs = igb(card).regs
    regs.on_write(EIAC, lambda n, old, new: regs.poke(EIAC, old | new, n))


def latch_is_freed_by_rxsatrh(card: Card) -> None:
    """Reading the stamp leaves it latched; reading the sequence number frees it."""
    nic = igb(card)
    free = nic.regs._blocks[RXSTMPH].on_read
    nic.regs.on_read(RXSTMPH, lambda _n: nic.regs.peek(RXSTMPH))
    nic.regs.on_read(RXSATRH, lambda n: (free(n), nic.regs.peek(RXSATRH))[1])


def only_sync_by_ethernet_is_stamped(card: Card) -> None:
    """The message id of TSYNCRXCFG is compared whatever the type says, by Ethernet alone."""
    timesync = igb(card).timesync
    timesync._wanted = lambda message, _kind, parsed: parsed.ethertype == 0x88F7 and message[0] & 0xF == 0


def length_comes_before_dd(card: Card) -> None:
    """All of the second quadword but DD is stored, and DD a good while after it."""
    memory = igb(card).receiver._memory
    store = memory.store64

    def twice(iova: int, value: int) -> None:
        if iova % 16 == 8 and value & 1:
            for _ in range(200):
                store(iova, value & ~1)
        store(iova, value)

    class Slow:
        """The guest's memory, with that store."""

        store64 = staticmethod(twice)

        def __getattr__(self, name: str) -> Any:
            return getattr(memory, name)

    igb(card).receiver._memory = Slow()


def short_frames_are_runts(card: Card) -> None:
    """RUC counts frames below 60 bytes, which are taken all the same."""
    nic = igb(card)
    arrive = nic.receiver.arrive

    def counting(frame: bytes, *, looped: bool = False) -> None:
        if len(frame) < 60:
            nic.regs.count(RUC)
        arrive(frame, looped=looped)

    nic.receiver.arrive = counting


def eeprom_is_never_granted(card: Card) -> None:
    """A request for the EEPROM stays without an answer."""
    regs = igb(card).regs
    regs.on_write(EECD, lambda n, _old, _new: regs.poke(EECD, EECD.gnt.put(regs.peek(EECD), 0), n))


def drops_are_not_counted(card: Card) -> None:
    """RQDPC stays at 0."""
    igb(card).statistics.dropped_no_descriptor = lambda _queue: None


def reset_asserted_goes_where_the_timer_does(card: Card) -> None:
    """ICR.drsta takes byte 0 of IVAR_MISC."""
    irq = igb(card).interrupts
    unmask = irq._unmask_causes

    def misled(gained: int, mask: int, why: str = "unmask") -> None:
        if irq._multiple() and gained & mask & ICR.drsta.mask:
            entry = irq._regs.peek(IVAR_MISC) & 0xFF
            if entry & 0x80:
                irq._event(entry & 0x1F, "other")
            gained &= ~ICR.drsta.mask | INT_ASSERTED
        unmask(gained, mask, why)

    irq._unmask_causes = misled


def eics_reads_as_zero(card: Card) -> None:
    """EICS shows nothing of EICR."""
    igb(card).regs.on_read(EICS, lambda _n: 0)


def every_receive_descriptor_is_advanced(card: Card) -> None:
    """SRRCTL's descriptor type 0 is taken for type 1."""
    receiver = igb(card).receiver
    settings = receiver._queue_settings
    receiver._queue_settings = lambda queue: settings(queue)._replace(legacy=False)


def software_reset_takes_the_phy_along(card: Card) -> None:
    """CTRL.rst resets the PHY's registers too."""
    nic = igb(card)
    nic.regs.on_write(CTRL, lambda _n, _old, new: nic.link.phy.reset() if CTRL.rst.of(new) else None)


def phy_has_one_page(card: Card) -> None:
    """Whatever page is selected, the registers are those of page 0."""

    page_zero = {reg.number: reg for reg in phy.REGISTERS if reg.page == 0}
    igb(card).link.phy._at = page_zero.get


def ethertype_filters_choose_nothing(card: Card) -> None:
    """Queue enable of ETQF is without effect."""
    filters = igb(card).receiver.filters
    decode = filters._decode

    def without() -> None:
        decode()
        filters._ethertype_queues = {}

    filters._decode = without


def pause_frames_are_not_counted(card: Card) -> None:
    """XOFFRXC and XONRXC stay at 0."""
    igb(card).statistics.pause_received = lambda *, xoff: None  # noqa: ARG005


def clock_cannot_be_set(card: Card) -> None:
    """A write of SYSTIMH is without effect: the clock counts on from where it was."""
    nic = igb(card)
    timesync = nic.timesync
    block = nic.regs._blocks[SYSTIMH]
    block.on_write = lambda n, _old, _new: nic.regs.poke(SYSTIMH, timesync.now() >> 32, n)


def enabling_a_queue_leaves_its_head(card: Card) -> None:
    """A transmit queue goes on where it stopped."""
    nic = igb(card)

    def resume(n: int, old: int, new: int) -> None:
        if new & TXDCTL.enable.mask and not old & TXDCTL.enable.mask:
            nic.transmitter.queues[n].ring.head = stopped.get(n, 0)

    def remember(n: int, old: int, new: int) -> None:
        if old & TXDCTL.enable.mask and not new & TXDCTL.enable.mask:
            stopped[n] = nic.transmitter.queues[n].ring.head

    stopped: dict[int, int] = {}
    block = nic.regs._blocks[TXDCTL]
    before = block.on_write
    block.on_write = None
    nic.regs.on_write(TXDCTL, remember)
    nic.regs.on_write(TXDCTL, before)
    nic.regs.on_write(TXDCTL, resume)


def serial_number_is_not_shown(card: Card) -> None:
    """The list of extended capabilities ends before the serial number."""
    data = card.interrupts._config.data
    at = EXTENDED
    while at:
        head = int.from_bytes(data[at : at + 4], "little")
        following = head >> 20
        if following and int.from_bytes(data[following : following + 2], "little") == SERIAL_NUMBER:
            data[at : at + 4] = (head & 0xFFFFF).to_bytes(4, "little")
        at = following


def old_address_is_of_queue_nine(card: Card) -> None:
    """Offset 0x3B14 is TXCTL of queue 9."""
    regs = igb(card).regs
    regs._by_offset = {**regs._by_offset, 0x3B14: (TXCTL, 9)}


def oversize_frames_are_not_counted(card: Card) -> None:
    """ROC stays at 0."""
    igb(card).statistics.oversize = lambda: None


def tags_are_inserted_always(card: Card) -> None:
    """CTRL.vme is without effect on transmission."""
    transmitter = igb(card).transmitter
    peek = transmitter._regs.peek

    class Tagging:
        """The registers, with CTRL.vme set."""

        def peek(self, reg: Any, n: int = 0) -> int:
            return int(peek(reg, n)) | (CTRL.vme.mask if reg is CTRL else 0)

        def __getattr__(self, name: str) -> Any:
            return getattr(igb(card).regs, name)

    transmitter._regs = Tagging()


def frames_leave_within_the_doorbell(card: Card) -> None:
    """A doorbell returns when everything has left, at no rate."""
    transmitter = igb(card).transmitter
    transmitter._rate_bps = lambda: 0

    def kick() -> None:
        while any(transmitter._ready) or transmitter._departing is not None:
            transmitter._pump()

    transmitter.kick = kick
