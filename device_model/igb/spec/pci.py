# SPDX-License-Identifier: BSD-3-Clause
"""The 82576 on PCI (data sheet chapter 9): identity, BARs, capabilities.

Offsets and sizes are those that real cards of the family show to lspci. SR-IOV and ARI are not declared.
"""

from __future__ import annotations

import struct

from device_model.pci import Bar, BarKind, Capability, MsixLayout, PciFunction

CSR_BAR = 0
FLASH_BAR = 1
IO_BAR = 2
MSIX_BAR = 3

BARS = (
    Bar(CSR_BAR, 128 * 1024, BarKind.MEMORY_32, "registers"),
    Bar(FLASH_BAR, 128 * 1024, BarKind.MEMORY_32, "flash"),
    Bar(IO_BAR, 32, BarKind.IO, "IOADDR and IODATA"),
    Bar(MSIX_BAR, 16 * 1024, BarKind.MEMORY_64, "MSI-X table and pending bits"),
)

MSIX = MsixLayout(bar=MSIX_BAR, table_at=0, pending_at=0x2000, vectors=10)

# Power management 1.2 (9.5.1): device-specific initialisation; PME from D0, D3hot and D3cold.
PM_VERSION = 3
PM_DSI = 1 << 5
PM_PME_D0_D3HOT_D3COLD = 0b11001 << 11
PMCSR_STATE = 0x0003
PMCSR_PME_ENABLE = 1 << 8
PMCSR_PME_STATUS = 1 << 15
POWER_MANAGEMENT = Capability(
    "pm",
    0x01,
    0x40,
    struct.pack("<HHBB", PM_VERSION | PM_DSI | PM_PME_D0_D3HOT_D3COLD, 0, 0, 0),
    writable=struct.pack("<HH", 0, PMCSR_STATE | PMCSR_PME_ENABLE),
    cleared_by_one=struct.pack("<HH", 0, PMCSR_PME_STATUS),
)

# MSI (9.5.2): one message, 64-bit address, per-vector masking.
MSI_64_BIT = 1 << 7
MSI_MASKABLE = 1 << 8
MSI = Capability(
    "msi",
    0x05,
    0x50,
    struct.pack("<HIIHHII", MSI_64_BIT | MSI_MASKABLE, 0, 0, 0, 0, 0, 0),
    writable=struct.pack("<HIIHHI", 0x0071, 0xFFFF_FFFC, 0xFFFF_FFFF, 0xFFFF, 0, 1),
)

# MSI-X (9.5.3).
MSI_X = Capability(
    "msix",
    0x11,
    0x70,
    struct.pack("<HII", MSIX.vectors - 1, MSIX.table_at | MSIX.bar, MSIX.pending_at | MSIX.bar),
    writable=struct.pack("<H", 0xC000),
)

# PCI Express (9.5.6): version 2 endpoint, 512 bytes payload, function level reset, 2.5 GT/s x4.
EXPRESS_VERSION_2_ENDPOINT = 0x0002
DEVICE_CAPABILITIES = 0x1000_8CC2  # FLR, role-based errors, L1 < 64 us, L0s < 512 ns, payload 512
DEVICE_CONTROL = 0x2810  # read request 512, no snoop, relaxed ordering
LINK_CAPABILITIES = 0x0003_6C41  # L1 and L0s, x4, 2.5 GT/s
LINK_STATUS = 0x1041  # slot clock, x4, 2.5 GT/s
DEVICE_CAPABILITIES_2 = 0x0000_001F  # completion timeout ranges A-D, and none
EXPRESS = Capability(
    "express",
    0x10,
    0xA0,
    struct.pack(
        "<HIHHIHH16xIHHIHH8x",
        EXPRESS_VERSION_2_ENDPOINT,
        DEVICE_CAPABILITIES,
        DEVICE_CONTROL,
        0,
        LINK_CAPABILITIES,
        0,
        LINK_STATUS,
        DEVICE_CAPABILITIES_2,
        0,
        0,
        0,
        0,
        0,
    ),
    writable=struct.pack("<HIHHIH18xIH", 0, 0, 0xFFFF, 0, 0, 0x00CB, 0, 0x001F),
    cleared_by_one=struct.pack("<HIHH", 0, 0, 0, 0x000F),
)

# Advanced error reporting (9.6.1).
UNCORRECTABLE_ERRORS = 0x001F_F010
UNCORRECTABLE_SEVERITY = 0x0006_2010
CORRECTABLE_ERRORS = 0x0000_31C1
CORRECTABLE_MASK = 0x0000_2000
ERROR_REPORTING = Capability(
    "aer",
    0x0001,
    0x100,
    struct.pack("<IIIIII16x", 0, 0, UNCORRECTABLE_SEVERITY, 0, CORRECTABLE_MASK, 0),
    writable=struct.pack("<IIIII", 0, UNCORRECTABLE_ERRORS, UNCORRECTABLE_ERRORS, 0, CORRECTABLE_ERRORS),
    cleared_by_one=struct.pack("<IIII", UNCORRECTABLE_ERRORS, 0, 0, CORRECTABLE_ERRORS),
    extended=True,
)


def serial_number(mac: bytes) -> bytes:
    """Return the device serial number (9.6.2): the EUI-64 of a 48-bit MAC address, little-endian."""
    return (mac[:3] + b"\xff\xff" + mac[3:])[::-1]


def function(mac: bytes) -> PciFunction:
    """Return the card whose MAC address is ``mac`` (6 bytes) as PCI sees it."""
    return PciFunction(
        vendor=0x8086,
        device=0x10C9,
        revision=0x01,
        class_code=0x02_00_00,
        subsystem_vendor=0x8086,
        subsystem=0xA03C,
        interrupt_pin=1,
        bars=BARS,
        capabilities=(
            POWER_MANAGEMENT,
            MSI,
            MSI_X,
            EXPRESS,
            ERROR_REPORTING,
            Capability("dsn", 0x0003, 0x140, serial_number(mac), extended=True),
        ),
        msix=MSIX,
    )
