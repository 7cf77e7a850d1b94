# SPDX-License-Identifier: BSD-3-Clause
"""What the card is and holds: its NVM, its registers as the driver dumps them, its lamp, its wake settings."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from device_model.igb.spec.general import CONNSW
from harness.checks.self_tests import words_read
from harness.claims import claim
from harness.deadline import Deadline, wait_until
from harness.lab import PEER_IPV4, configure

if TYPE_CHECKING:
    from harness.evidence import Evidence
    from harness.lab import Bound

MAGIC = 0x10C9_8086
"""Device and vendor number (Linux igb_get_eeprom)."""

MAC_BYTES, SUMMED_WORDS, SUM = 6, 0x40, 0xBABA
OTHER_BYTE = 0xA7
DRIVER = "/sys/bus/pci/drivers/igb"
FIRST_WORDS = ("CTRL", "STATUS", "CTRL_EXT", "MDIC", "SCTL", "CONNSW", "VET", "LEDCTL", "PBA", "PBS")
"""How the driver's dump begins (Linux igb_get_regs)."""

DUMPED_WORDS = 740
MARK = 0x5A17_C0DE
BLINK = 1 << 7
LEDS = 4


def nvm(bound: Bound) -> bytes:
    """Return ``ethtool -e``."""
    return bytes.fromhex(bound.netif.tool("sh", "-c", f"ethtool -e {bound.netif.name} raw on | xxd -p").out)


def write_nvm(bound: Bound, offset: int, value: int, magic: int = MAGIC) -> int:
    """Write one byte with ``ethtool -E``; return its status."""
    words = ("magic", f"{magic:#x}", "offset", offset, "value", f"{value:#x}")
    return bound.netif.ethtool("-E", *words, check=False).rc


def bind_again(bound: Bound) -> None:
    """Take the driver off the card and bind it anew, with the addresses that the interface had."""
    address = bound.netif.settings.driver()["bus-info"]
    agent = bound.guest.agent
    agent.write(f"{DRIVER}/unbind", address)
    agent.write(f"{DRIVER}/bind", address)
    wait_until(lambda: agent.exists(bound.netif.path("type")), Deadline.after(10), "the interface coming back")
    configure(bound.guest, bound.netif)
    bound.netif.wait_carrier()


@claim("ETH-13")
def test_the_nvm_is_read_and_written(bound: Bound, evidence: Evidence) -> None:
    """The dump is, word for word, what the card gave through EERD, and begins with the MAC address.

    The last byte of the address is written with a wrong magic number, which is refused, and with the right one: the sum
    stays right, and the driver, bound anew, has the new address. Then all is put back.
    """
    with bound.card.recording("RegisterRead", "RegisterWritten") as seen:
        image = nvm(bound)
    words = words_read(seen.all())
    given = b"".join(words[number].to_bytes(2, "little") for number in sorted(words))
    wrong_magic = write_nvm(bound, MAC_BYTES - 1, OTHER_BYTE, MAGIC ^ 1)
    untouched = nvm(bound) == image
    try:
        written = write_nvm(bound, MAC_BYTES - 1, OTHER_BYTE)
        changed = nvm(bound)
        bind_again(bound)
        address = bytes.fromhex(bound.netif.mac.replace(":", ""))
    finally:
        write_nvm(bound, MAC_BYTES - 1, image[MAC_BYTES - 1])
        bind_again(bound)
    back = nvm(bound)
    total = sum(struct.unpack_from(f"<{SUMMED_WORDS}H", changed)) & 0xFFFF
    evidence.note(
        guest={"bytes": len(image), "status with a wrong magic": wrong_magic, "new address": address.hex(":")},
        device={"words given": len(words), "sum after the change": f"{total:04x}"},
    )
    assert sorted(words) == list(range(len(image) // 2))
    assert image == given
    assert (wrong_magic != 0, untouched, written) == (True, True, 0)
    assert changed[:MAC_BYTES] == image[: MAC_BYTES - 1] + bytes([OTHER_BYTE])
    assert total == SUM
    assert address == changed[:MAC_BYTES]
    assert back == image


@claim("ETH-14")
def test_registers_and_identity_are_the_cards(bound: Bound, evidence: Evidence) -> None:
    """One register that only stores is given a mark; the dump holds it, and every value that the card gave in order."""
    bound.card.write_register(CONNSW.at, MARK)
    with bound.card.recording("RegisterRead") as seen:
        dump = bound.netif.settings.registers()
    words = struct.unpack(f"<{len(dump) // 4}I", dump)
    here = bound.card.registers(*FIRST_WORDS)
    counters = set(bound.card.statistics()) | {"TSYNCRXCTL"}
    given = [event.value for event in seen.all("RegisterRead") if event.register not in counters]
    bound.card.write_register(CONNSW.at, 0)
    rest = iter(words)
    missing = [value for value in given if value not in rest]
    driver = bound.netif.settings.driver()
    stem = struct.unpack_from("<H", nvm(bound), 2 * 5)[0]
    version = f"{stem >> 12}.{stem >> 4 & 0xFF}.{stem & 0xF}"
    evidence.note(
        guest={"words": len(words), "ethtool -i": driver},
        device={"values given": len(given), "not in the dump in this order": len(missing), "NVM word 5": f"{stem:04x}"},
    )
    assert len(words) == DUMPED_WORDS
    assert list(words[: len(FIRST_WORDS)]) == list(here.values())
    assert words[FIRST_WORDS.index("CONNSW")] == MARK
    assert len(given) > DUMPED_WORDS // 2
    assert missing == []
    assert (driver["driver"], driver["bus-info"]) == ("igb", bus_address(bound))
    assert driver["firmware-version"].split(",")[0].strip() == version


def bus_address(bound: Bound) -> str:
    """Return the bus address by which the kernel knows the interface's device."""
    target: str = bound.guest.agent.call("readlink", path=bound.netif.path("device"))
    return target.rpartition("/")[2]


@claim("ETH-19")
def test_identify_blinks_and_renegotiation_resets(bound: Bound, evidence: Evidence) -> None:
    """Identify for one second writes a blinking mode for every LED that shows anything, and puts back what was there.

    A renegotiation resets the card once, and traffic passes after it.
    """
    before = bound.card.register("LEDCTL")
    with bound.card.recording("RegisterWritten", "DeviceReset", "LinkChanged") as seen:
        bound.netif.ethtool("-p", 1)
        leds = [event.value for event in seen.all("RegisterWritten", lambda event: event.register == "LEDCTL")]
        quiet = seen.all("DeviceReset")
        bound.netif.ethtool("-r")
        bound.netif.wait_carrier()
        resets = [event.how for event in seen.all("DeviceReset")]
        link = [event.speed_mbps for event in seen.all("LinkChanged")]
    with bound.peer.answering():
        ping = bound.netif.tool("ping", "-c", "2", "-i", "0.05", "-W", "5", PEER_IPV4, check=False)
    blinking = [sum(bool(value >> 8 * led & BLINK) for led in range(LEDS)) for value in leds]
    evidence.note(
        guest={"traffic afterwards": ping.rc == 0},
        device={"LEDCTL": [f"{value:08x}" for value in leds], "resets": resets, "link": link},
    )
    assert max(blinking) > 0
    assert leds[-1] == before
    assert blinking[-1] == sum(bool(before >> 8 * led & BLINK) for led in range(LEDS))
    assert (quiet, resets) == ([], ["software"])
    assert (0 in link, link[-1]) == (True, 1000)
    assert ping.rc == 0


@claim("ETH-19")
def test_wake_settings_read_back(bound: Bound, evidence: Evidence) -> None:
    """Magic packet alone, then three kinds of frames and the link, then none; ARP and SecureOn are refused."""
    told = []
    bound.guest.undo.remember("wol", lambda: bound.netif.ethtool("-s", "wol", "g"))
    for letters in ("g", "pumb", "d"):
        bound.netif.ethtool("-s", "wol", letters)
        told.append(wake(bound))
    no = {letter: bound.netif.ethtool("-s", "wol", letter, check=False).rc != 0 for letter in ("a", "s")}
    evidence.note(
        guest={"Wake-on": told, "refused": no}, device={"WUFC until the card sleeps": bound.card.register("WUFC")}
    )
    assert told == ["g", "pumb", "d"]
    assert all(no.values()), no


def wake(bound: Bound) -> str:
    """Return the letters of ``Wake-on`` that ethtool shows."""
    found = re.search(r"^\s*Wake-on: (\w+)$", bound.netif.tool("ethtool", bound.netif.name).out, re.MULTILINE)
    assert found, "ethtool must show what wakes the card"
    return found[1]
