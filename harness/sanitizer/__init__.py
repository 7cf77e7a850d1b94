# SPDX-License-Identifier: BSD-3-Clause
"""The DMA sanitizer: what the driver maps and hands over, against what the card does with it."""

OWNERSHIP, IOMMU = "ownership", "iommu"
MODES = (OWNERSHIP, IOMMU)
"""How it knows what the driver has mapped: by the guest's trace alone, or the card is held to it by a vIOMMU, too."""

COMMAND_LINE = "slub_debug=P page_poison=1"
"""What the guest's kernel is told, so that memory which nobody has written can be recognised (poison.py)."""
