# SPDX-License-Identifier: BSD-3-Clause
"""Recipes for the guest: a private prefix of Debian packages, and the image built from it. Standard library only."""
