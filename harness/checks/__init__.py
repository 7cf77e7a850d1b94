# SPDX-License-Identifier: BSD-3-Clause
"""The checks: what the specification promises, asked of a guest and of the card at once."""
