# SPDX-License-Identifier: BSD-3-Clause
"""What distinguishes one card from another of its kind."""

from __future__ import annotations

from dataclasses import dataclass

from device_model.nic import LinkPartner


@dataclass(frozen=True, slots=True)
class Config:
    """A card's strapping, EEPROM and surroundings.

    ``rate_mbps`` is the speed at which frames leave in emulated time: None follows the negotiated link
    speed, 0 is unlimited. ``nvm_image`` is the EEPROM as little-endian 16-bit words, None for the
    default one. ``autoneg_ns`` is how long autonegotiation takes (IEEE 802.3 allows seconds). ``least_gap_us`` is the
    least time between two messages of a vector that EITR moderates, if it is more than EITR asks for.
    """

    mac: bytes = bytes.fromhex("525400825760")
    nvm_image: bytes | None = None
    rate_mbps: int | None = None
    autoneg_ns: int = 20_000_000
    partner: LinkPartner | None = LinkPartner()
    least_gap_us: int = 0
