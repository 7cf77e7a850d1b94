# SPDX-License-Identifier: BSD-3-Clause
"""Tests of device_model.packet."""
