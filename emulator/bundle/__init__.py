# SPDX-License-Identifier: BSD-3-Clause
"""What a card was told and what it did, as one file in one order, and the card that is run on it again."""
