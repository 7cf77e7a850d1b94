# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the report's page in a browser."""
