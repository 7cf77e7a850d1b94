# SPDX-License-Identifier: BSD-3-Clause
"""What the specification promises: one TOML file an area, one falsifiable sentence a claim, and their loader."""
