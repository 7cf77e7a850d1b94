# SPDX-License-Identifier: BSD-3-Clause
"""Our card measured against QEMU's own 82576: both in one guest, in turns."""
