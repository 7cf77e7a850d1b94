# SPDX-License-Identifier: BSD-3-Clause
"""Other legal orders of the same work: which of them makes a driver misbehave."""
