# SPDX-License-Identifier: BSD-3-Clause
"""``hilnic top``: what a card does, as it does it."""
