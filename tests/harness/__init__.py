# SPDX-License-Identifier: BSD-3-Clause
"""Tests of set-up, images and harness that need no guest."""
