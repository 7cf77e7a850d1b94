# SPDX-License-Identifier: BSD-3-Clause
"""The native engine: the data path of the card in C, through cffi."""
