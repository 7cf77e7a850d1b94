# SPDX-License-Identifier: BSD-3-Clause
"""Pure functions over packet bytes: what the data path computes, with no state of the device."""
