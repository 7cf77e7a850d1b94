# SPDX-License-Identifier: BSD-3-Clause
"""The guest: its console, its shell, its agent, and typed views of what its kernel tells."""
