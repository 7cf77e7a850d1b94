# SPDX-License-Identifier: BSD-3-Clause
"""The process around a NIC: vfio-user, guest memory, interrupts, timers and wires."""
