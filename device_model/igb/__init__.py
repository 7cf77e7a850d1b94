# SPDX-License-Identifier: BSD-3-Clause
"""The Intel 82576 gigabit controller and its family."""
