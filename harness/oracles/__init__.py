# SPDX-License-Identifier: BSD-3-Clause
"""Exact predictors, independent of the device model: what the guest must show, computed from what was done to it."""
