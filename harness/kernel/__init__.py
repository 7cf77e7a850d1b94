# SPDX-License-Identifier: BSD-3-Clause
"""What the checks need of a guest's kernel: its configuration, what lacks, and which claims fall away."""
