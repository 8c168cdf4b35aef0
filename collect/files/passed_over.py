"""Counter of passed-over items; it lives in `core`, where predictions reach it too."""

from fototeca.core.passed_over import PassedOver, PassedOverCount

__all__ = ["PassedOver", "PassedOverCount"]
