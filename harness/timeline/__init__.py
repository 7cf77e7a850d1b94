# SPDX-License-Identifier: BSD-3-Clause
"""One time line from both witnesses: what the guest traced and what the card told, on the card's clock."""
