# SPDX-License-Identifier: BSD-3-Clause
"""The DMA sanitizer: what the driver maps and hands over, against what the card does with it."""
