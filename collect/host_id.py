"""Host identifier in temporary names, and the age after which another host's temporary files count as abandoned."""

from __future__ import annotations

import hashlib
import socket

HOST_ID = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]
"""Four hex digits, equal for every process of this host; only these processes may remove its temporary files early."""

STALE_AFTER_SECONDS = 86_400.0
"""Age after which temporary files of any host are removed."""
