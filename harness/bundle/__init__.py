# SPDX-License-Identifier: BSD-3-Clause
"""Bundles: what a card was told and did, as one file, and the card run on it again."""
