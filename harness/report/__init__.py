# SPDX-License-Identifier: BSD-3-Clause
"""What a run found: results as data, as lines in a terminal, as JSON and as one HTML page."""
