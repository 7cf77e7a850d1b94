# SPDX-License-Identifier: BSD-3-Clause
"""From a saved driver to its verdict: a guest that waits for it, and the difference to the last run."""
