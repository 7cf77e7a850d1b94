# SPDX-License-Identifier: BSD-3-Clause
"""The agent that runs inside the guest: standard library only, shipped as a zip file, see harness.guest.deploy."""
