# SPDX-License-Identifier: BSD-3-Clause
"""Tests that hold the native engine to the Python model."""
