# SPDX-License-Identifier: BSD-3-Clause
"""The harness starts the card and a guest, drives both ends of the wire, and judges what the guest does."""
