# SPDX-License-Identifier: BSD-3-Clause
"""A lab that stays: console, shell, monitor, gdb stub and card in one terminal, or as Python objects."""
