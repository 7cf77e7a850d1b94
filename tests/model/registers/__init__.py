# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the register declarations and the register file."""
