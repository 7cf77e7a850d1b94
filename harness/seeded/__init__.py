# SPDX-License-Identifier: BSD-3-Clause
"""Bugs sown into the driver on purpose: what the checks are worth, measured."""
