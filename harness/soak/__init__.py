# SPDX-License-Identifier: BSD-3-Clause
"""The soak: hours of traffic while everything about the interface changes, and an account of every frame."""
