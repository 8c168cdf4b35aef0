"""What files are marked with that only this machine's processes may remove."""

from __future__ import annotations

import hashlib
import socket

MACHINE = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]
"""The same for every process of this machine, and hardly ever another's."""

DAY = 86_400.0
"""Seconds after which nobody is still at work on what lies half done."""
