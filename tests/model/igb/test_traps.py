# SPDX-License-Identifier: BSD-3-Clause
"""What breaks or quietly degrades a naive emulation of this card under Linux 6.12 igb, one test for each trap.

Each test names the driver function that makes the trap matter.
"""

from __future__ import annotations

import pytest

from device_model.igb.config import Config
from device_model.igb.spec.filters import ETQF, RAH, RAL, VFTA
from device_model.igb.spec.general import CTRL, EECD, EEMNGCTL, STATUS
from device_model.igb.spec.interrupts import EICS, EIMC, EIMS, GPIE, ICR, ICS, IMS
from device_model.igb.spec.receive import MRQC, RCTL, RDBAH, RDBAL, RDLEN, RDT, RETA, RLPML, RSSRK, RXDCTL, SRRCTL
from device_model.igb.spec.statistics import GORCH, GORCL, GOTCH, GOTCL
from device_model.igb.spec.timesync import RXSATRH, RXSTMPH, RXSTMPL, TIMINCA, TSYNCRXCTL, TSYNCTXCTL, TXSTMPH
from device_model.nic import Reset
from device_model.packet.toeplitz import Toeplitz
from tests.model.packet import frames

from .driver import RX_BUFFER_SIZE, Driver
from .linux import Linux
from .world import BASE, World

A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
MAC = Config().mac
MS = 1_000_000


@pytest.fixture
def driver() -> Driver:
    driver = Driver(World())
    driver.up()
    return driver


def udp(payload: bytes, ports: tuple[int, int] = (1111, 2222), *, vlan: int | None = None) -> bytes:
    return frames.ethernet(*frames.ip(frames.udp(payload, A, B, ports), frames.UDP, A, B), destination=MAC, vlan=vlan)


def ptp(message_type: int, *, port: int | None = None, version: int = 2) -> bytes:
    """A PTP message of ``message_type`` over Ethernet, or over UDP to ``port``."""
    message = bytes([message_type, version]) + bytes(range(2, 44))
    return udp(message, (4000, port)) if port else frames.ethernet(message, 0x88F7, destination=MAC)


def hold_every_store(driver: Driver) -> list[tuple[bytes, bytes]]:
    """Photograph slot 0 of receive queue 0 and its buffer after each of the card's stores from now on."""
    memory = driver.world.memory
    seen: list[tuple[bytes, bytes]] = []
    plain = memory.write

    def write(iova: int, data: bytes) -> None:
        plain(iova, data)
        seen.append((memory.read(driver.rx_ring(0), 16), memory.read(driver.rx_buffer(0, 0), 200)))

    memory.write = write  # type: ignore[method-assign]
    return seen


def test_trap_1_length_appears_last_and_everything_is_final_by_then(driver: Driver) -> None:
    """igb_clean_rx_irq takes a descriptor as done when its length is not zero, and never looks at DD."""
    frame = udp(bytes(range(100)))
    seen = hold_every_store(driver)
    driver.world.nic.receive(frame)
    assert len(seen) > 1
    for descriptor, _ in seen[:-1]:
        assert descriptor[12:14] == b"\0\0"
    descriptor, buffer = seen[-1]
    assert int.from_bytes(descriptor[12:14], "little") == len(frame)
    assert descriptor[8] & 3 == 3
    assert buffer[: len(frame)] == frame
    final = driver.world.memory.read(driver.rx_ring(0), 16)
    assert descriptor == final, "nothing is stored after the length"


def test_trap_1_a_frame_over_two_buffers_is_complete_when_its_first_length_appears(driver: Driver) -> None:
    """igb_clean_rx_irq walks on from a descriptor without EOP at once; each must be whole when its length shows."""
    driver.put(SRRCTL, 0x0200_0401, 0)
    frame = udp(bytes(n & 0xFF for n in range(1400)))
    driver.world.nic.receive(frame)
    first, second = driver.received(0)
    assert (first[0]["length"], first[0]["eop"], second[0]["eop"]) == (1024, 0, 1)
    assert first[1] + second[1] == frame


def test_trap_2_no_descriptor_is_touched_before_its_frame_is_there(driver: Driver) -> None:
    """igb_alloc_rx_buffers clears only the length of the next slot: a card that peek-writes would forge frames."""
    before = driver.world.memory.read(driver.rx_ring(0), 64 * 16)
    driver.world.clock.advance(1000 * MS)
    driver.put(RDT, 63, 0)
    driver.world.nic.receive(udp(b"one"))
    after = driver.world.memory.read(driver.rx_ring(0), 64 * 16)
    assert after[:16] != before[:16]
    assert after[16:] == before[16:]


def test_trap_2_what_stands_in_the_second_half_of_a_posted_descriptor_does_not_matter(driver: Driver) -> None:
    """igb leaves an old write-back where the header address would be; with one buffer it is ignored."""
    memory, ring = driver.world.memory, driver.rx_ring(0)
    stale = (BASE + 0xF0000).to_bytes(8, "little")[:4] + b"\0\0" + b"\xab\xcd"
    driver.put(RXDCTL, 0, 0)
    driver.put(RXDCTL, RXDCTL.enable.mask, 0)
    memory.write(ring + 8, stale)
    driver.put(RDT, 1, 0)
    driver.world.nic.receive(udp(b"data"))
    [(fields, data)] = driver.received(0)
    assert (data, fields["vlan"]) == (udp(b"data").ljust(60, b"\0"), 0)


@pytest.mark.parametrize("length", [1533, 1536, 1537, 2044, 2048, 9000])
def test_trap_3_nothing_reaches_memory_behind_rlpml(driver: Driver, length: int) -> None:
    """igb_set_rx_mode: SRRCTL says 2 KiB, but skb_shared_info starts at 1536 of each buffer."""
    memory = driver.world.memory
    for index in range(8):
        memory.write(driver.rx_buffer(0, index), b"\xa5" * RX_BUFFER_SIZE)
    driver.world.nic.receive(udp(bytes(length - 42)))
    for index in range(8):
        behind = memory.read(driver.rx_buffer(0, index) + 1532, RX_BUFFER_SIZE - 1532)
        assert set(behind) == {0xA5}
    assert driver.received(0) == []


def test_trap_3_rlpml_counts_the_tag_that_is_stripped(driver: Driver) -> None:
    """The frame is judged as it came off the wire, tag and FCS included (82576 8.10)."""
    driver.world.nic.receive(udp(bytes(1532 - 46), vlan=0))
    assert len(driver.received(0)) == 1
    driver.world.nic.receive(udp(bytes(1533 - 46), vlan=0))
    assert driver.received(0) == []


@pytest.mark.parametrize(("bsize", "size"), [(0, 2048), (1, 1024), (2, 512), (3, 256)])
def test_trap_3_a_queue_without_a_buffer_size_of_its_own_takes_that_of_rctl(
    driver: Driver, bsize: int, size: int
) -> None:
    """SRRCTL.BSIZEPACKET 0 (82576 8.10): no byte may land behind the smaller buffer."""
    driver.put(SRRCTL, 0x0200_0400, 0)
    driver.put(RCTL, driver.get(RCTL) | bsize << 16)
    driver.put(RLPML, 0x2600)
    driver.world.memory.stores.clear()
    driver.world.nic.receive(udp(bytes(4000)))
    lengths = [stored for _, stored in driver.world.memory.stores if stored != 8]
    assert lengths[:-1] == [size] * (4042 // size)
    assert sum(lengths) == 4042


def test_trap_4_an_event_that_comes_while_napi_polls_fires_at_the_unmask(driver: Driver) -> None:
    """igb_ring_irq_enable relies on a level: EICR bit set under a clear EIMS bit, then EIMS written."""
    sent = driver.world.messages.sent
    driver.world.nic.receive(udp(b"1"))
    assert sent == [1], "and EIAM has masked the vector now"
    assert not driver.get(EIMS) & 2
    driver.world.nic.receive(udp(b"2"))
    assert sent == [1]
    driver.put(EIMS, 2)
    assert sent == [1, 1]
    driver.put(EIMS, 2)
    assert sent == [1, 1], "once for what was pending, no more"


def test_trap_4_the_watchdogs_eics_is_not_lost_on_a_masked_vector(driver: Driver) -> None:
    """igb_watchdog_task writes EICS every two seconds, whatever NAPI is doing."""
    driver.put(EIMC, 2)
    driver.put(EICS, 2)
    assert driver.world.messages.sent == []
    driver.put(EIMS, 2)
    assert driver.world.messages.sent == [1]


def test_trap_5_after_a_bare_reset_every_cause_goes_to_message_zero(driver: Driver) -> None:
    """igb_intr_test runs with MSI-X on in configuration space, but without igb_configure_msix after the reset."""
    driver.put(CTRL, driver.get(CTRL) | CTRL.rst.mask)
    assert driver.get(GPIE) == 0
    driver.world.messages.sent.clear()
    for position in (n for n in range(31) if 0x77D4FBFD >> n & 1):
        driver.put(ICR, 0xFFFFFFFF)
        driver.put(IMS, 1 << position)
        driver.put(ICS, 1 << position)
        assert driver.world.messages.sent == [0], position
        assert driver.get(ICR) >> position & 1
        driver.world.messages.sent.clear()


@pytest.mark.parametrize("offset", [0x0000C, 0x0103C, 0x05F54, 0x08000, 0x0B640, 0x0B674, 0x12030, 0x1FFFC])
def test_trap_6_a_register_that_does_not_exist_reads_zero(offset: int) -> None:
    """igb_rd32 takes all ones for a card that is gone, and never speaks to it again."""
    world = World()
    world.write(offset, 0xFFFFFFFF)
    assert world.read(offset) == 0


def test_trap_6_ctrl_never_reads_as_all_ones() -> None:
    """igb_rd32 reads offset 0 again to be sure that the card is gone."""
    world = World()
    world.write(CTRL.at, 0xFFFFFFFF & ~CTRL.rst.mask)
    assert world.read(CTRL.at) not in (0, 0xFFFFFFFF)


def test_trap_7_no_reset_waits_for_a_bit_that_never_comes() -> None:
    """igb_get_auto_rd_done, igb_get_cfg_done_82575 and igb_disable_pcie_master poll, and give up only slowly."""
    world = World()
    for ctrl in (0, CTRL.rst.mask, CTRL.phy_rst.mask):
        world.write(CTRL.at, world.read(CTRL.at) | ctrl)
        assert world.read(EECD.at) & EECD.auto_rd.mask
        assert world.read(EECD.at) & EECD.pres.mask
        assert world.read(EEMNGCTL.at) & EEMNGCTL.cfg_done0.mask
        assert world.read(STATUS.at) & STATUS.gio_master_enable.mask
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.gio_master_disable.mask)
    assert not world.read(STATUS.at) & STATUS.gio_master_enable.mask
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.rst.mask)
    assert world.read(STATUS.at) & STATUS.gio_master_enable.mask, "a reset takes the request back"


def test_trap_8_the_read_that_returns_zero_takes_the_semaphore() -> None:
    """igb_get_hw_semaphore; a bit that is stuck at one kills the probe."""
    world = World()
    swsm = 0x5B50
    assert [world.read(swsm) & 1 for _ in range(3)] == [0, 1, 1]
    world.write(swsm, 2)
    assert world.read(swsm) & 3 == 2
    world.write(swsm, 0)
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.rst.mask)
    assert world.read(swsm) & 3 == 0


@pytest.mark.parametrize("written", [0, 0x7FFFF3FF, 0xFFFFFFFF, 0x5A5A5A5A])
def test_trap_9_status_does_not_take_what_is_written(written: int) -> None:
    """igb_reg_test writes STATUS and compares with the two reads before."""
    world = World()
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.slu.mask)
    before = [world.read(STATUS.at) for _ in range(2)]
    world.write(STATUS.at, written)
    assert {value & 0x7FFFF3FF for value in [*before, world.read(STATUS.at)]} == {before[0] & 0x7FFFF3FF}
    assert before[0] & STATUS.lu.mask


def test_trap_9_a_software_reset_starts_no_autonegotiation_that_could_end_in_the_register_test() -> None:
    """igb_reg_test follows igb_reset at once; the PHY keeps its link through CTRL.RST."""
    world = World()
    world.write(CTRL.at, world.read(CTRL.at) | CTRL.rst.mask)
    before = world.read(STATUS.at)
    world.clock.advance(5000 * MS)
    assert world.read(STATUS.at) == before


def test_trap_10_only_the_descriptor_with_rs_gets_dd(driver: Driver) -> None:
    """igb_clean_tx_irq looks at the EOP descriptor's DD only; igb_tx_map sets RS there only."""
    before = len(driver.world.memory.stores)
    last = driver.send(0, bytes(range(250)) * 4, context={"maclen": 14}, pieces=4)
    posted = driver.world.memory.stores[before:]
    driver.world.clock.advance(MS)
    stored = driver.world.memory.stores[before + len(posted) :]
    assert stored == [(driver.tx_ring(0) + last * 16 + 12, 4)]
    assert [driver.done(0, n) for n in range(last + 1)] == [False] * last + [True]


def test_trap_10_what_concerns_the_frame_is_said_in_its_last_descriptor(driver: Driver) -> None:
    """igb_process_skb_fields reads hash, checksum verdict and tag from the EOP descriptor alone."""
    driver.put(SRRCTL, 0x0200_0401, 0)
    driver.put(MRQC, 0x0037_0002)
    driver.put(VFTA, 1 << 5)
    driver.world.nic.receive(udp(bytes(1400), vlan=5))
    (first, _), (last, _) = driver.received(0)
    assert (first["eop"], first["vp"], first["l4cs"], first["vlan"]) == (0, 0, 0, 0)
    assert (last["eop"], last["vp"], last["l4cs"], last["vlan"], last["rss_type"]) == (1, 1, 1, 5, 2)


def stamping(driver: Driver) -> None:
    """igb_ptp_set_timestamp_mode: transmit stamps, and event messages of version 2."""
    driver.put(TIMINCA, 0x01800000)
    driver.put(TSYNCTXCTL, 0x10)
    driver.put(TSYNCRXCTL, 0x10 | 5 << 1)
    driver.put(ETQF, 0x440088F7, 3)


def test_trap_11_reading_the_high_half_of_a_stamp_frees_the_latch(driver: Driver) -> None:
    """igb_ptp_rx_hang, igb_ptp_tx_work: RXSTMPH and TXSTMPH are read last; RXSATRH is never read."""
    stamping(driver)
    for _ in range(2):
        driver.world.nic.receive(ptp(0))
        [(fields, _)] = driver.received(0)
        assert fields["ts"] == 1
        assert driver.get(TSYNCRXCTL) & 1
        driver.get(RXSATRH)
        driver.get(RXSTMPL)
        assert driver.get(TSYNCRXCTL) & 1, "neither of these frees it"
        driver.get(RXSTMPH)
        assert not driver.get(TSYNCRXCTL) & 1
    for _ in range(2):
        driver.send(0, ptp(0), mac_ts=1)
        driver.world.clock.advance(MS)
        assert driver.get(TSYNCTXCTL) & 1
        driver.get(TXSTMPH)
        assert not driver.get(TSYNCTXCTL) & 1


@pytest.mark.parametrize("port", [None, 319])
@pytest.mark.parametrize("config", [0x0000, 0x0B07])
def test_trap_12_all_event_messages_are_stamped_whatever_tsyncrxcfg_says(
    driver: Driver, port: int | None, config: int
) -> None:
    """igb_ptp_set_timestamp_mode leaves TSYNCRXCFG zero for EVENT_V2, which means Sync in the other modes."""
    stamping(driver)
    driver.world.write(0x5F50, config)
    for message_type in range(16):
        driver.world.nic.receive(ptp(message_type, port=port))
        driver.get(RXSTMPH)
    assert [fields["ts"] for fields, _ in driver.received(0)] == [1] * 4 + [0] * 12


def test_trap_12_general_messages_of_port_320_are_not_stamped(driver: Driver) -> None:
    """The filter of igb_ptp_set_timestamp_mode compares one port, 319."""
    stamping(driver)
    driver.world.nic.receive(ptp(0, port=320))
    assert [fields["ts"] for fields, _ in driver.received(0)] == [0]


def test_trap_13_byte_counts_sit_in_the_low_halves_and_include_the_fcs(driver: Driver) -> None:
    """igb_update_stats takes GORCL and GOTCL; reading the high halves only clears."""
    driver.world.nic.receive(udp(bytes(58)))
    driver.send(0, udp(bytes(158)))
    driver.world.clock.advance(MS)
    assert driver.get(GORCL) == 42 + 58 + 4
    assert driver.get(GORCH) == 0
    assert driver.get(GOTCL) == 42 + 158 + 4
    assert driver.get(GOTCH) == 0
    assert driver.get(GORCL) == driver.get(GOTCL) == 0


def test_trap_13_a_reset_between_the_halves_leaves_no_rest(driver: Driver) -> None:
    """igb_clear_hw_cntrs_base reads all counters after a reset, whatever was half-read before it."""
    driver.world.nic.receive(udp(bytes(58)))
    driver.get(GORCL)
    driver.put(CTRL, driver.get(CTRL) | CTRL.rst.mask)
    assert [driver.get(reg) for reg in (GORCH, GORCL, GORCH)] == [0, 0, 0]


@pytest.mark.parametrize("how", ["software", *(kind.value for kind in Reset)])
def test_trap_14_every_reset_loads_the_mac_address_from_the_eeprom(how: str) -> None:
    """igb_read_mac_addr reads RAL0 and RAH0, not the EEPROM."""
    mac = bytes.fromhex("025566778899")
    world = World(config=Config(mac=mac))
    world.write(RAL.at, 0xDEADBEEF)
    world.write(RAH.at, 0)
    if how == "software":
        world.write(CTRL.at, world.read(CTRL.at) | CTRL.rst.mask)
    else:
        world.nic.reset(Reset(how))
    assert world.read(RAL.at) == int.from_bytes(mac[:4], "little")
    assert world.read(RAH.at) == int.from_bytes(mac[4:], "little") | 1 << 31


def test_trap_15_no_alternate_mac_address_is_offered() -> None:
    """igb_check_alt_mac_addr follows word 0x37 unless it is 0xFFFF or 0."""
    world = World()
    assert Linux(world.read, world.write).eerd(0x37) in (0xFFFF, 0x0000)


@pytest.mark.parametrize("queue", [1, 7, 8, 9, 15])
def test_trap_16_all_four_bits_of_a_table_entry_choose_the_queue(queue: int) -> None:
    """igb_write_rss_indir_tbl shifts entries left by three when the card has virtual functions: bit 3 must count."""
    driver = Driver(World())
    driver.up()
    ring = BASE + 0xF0000
    driver.world.memory.write(ring, (BASE + 0xF1000).to_bytes(8, "little") + bytes(8))
    for reg, value in ((RDBAL, ring & 0xFFFFFFFF), (RDBAH, ring >> 32), (RDLEN, 128), (SRRCTL, 0x02000402)):
        driver.put(reg, value, queue)
    driver.put(RXDCTL, 0, queue)
    driver.put(RXDCTL, RXDCTL.enable.mask, queue)
    driver.put(RDT, 1, queue)
    frame = udp(b"which?")
    for n in range(RSSRK.count):
        driver.put(RSSRK, 0x6D5A56DA ^ n, n)
    key = b"".join((0x6D5A56DA ^ n).to_bytes(4, "little") for n in range(RSSRK.count))
    index = Toeplitz(key).hash(A + B) & 0x7F
    driver.put(RETA, queue << index % 4 * 8, index // 4)
    driver.put(MRQC, 0x0037_0002)
    driver.world.nic.receive(frame)
    assert driver.world.memory.read(BASE + 0xF1000, len(frame)) == frame


@pytest.mark.parametrize("seed", [0x0000, 0x1234, 0xFFFF])
def test_trap_17_checksum_insertion_adds_to_what_the_field_holds(driver: Driver, seed: int) -> None:
    """igb_tx_csum and igb_tso leave a partial sum in the field; a card that zeroes it first sends wrong sums."""
    segment = bytearray(frames.tcp(b"payload!!", A, B, (7, 8)))
    segment[16:18] = seed.to_bytes(2, "big")
    packet = bytearray(bytes(12) + b"\x08\x00" + frames.ip(bytes(segment), frames.TCP, A, B)[0])
    packet[24:26] = seed.to_bytes(2, "big")
    driver.send(0, bytes(packet), context={"maclen": 14, "iplen": 20, "l4t": 1, "ipv4": 1}, txsm=1, ixsm=1)
    driver.world.clock.advance(MS)
    [frame] = driver.world.cable.frames
    assert frame[50:52] == (~frames.word_sum(bytes(segment)) & 0xFFFF).to_bytes(2, "big")
    assert frame[24:26] == (~frames.word_sum(bytes(packet[14:34])) & 0xFFFF).to_bytes(2, "big")
