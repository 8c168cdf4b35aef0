"""Counters of a server in the text format of Prometheus.

Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from __future__ import annotations

from collections import Counter

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the histogram of request times, in seconds."""


class Metrics:
    """Numbers of requests by status, of predicted images by run, and a histogram of the times of predictions."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        self.images: Counter[str] = Counter()
        self._buckets = [0] * len(BUCKETS)
        self._seconds, self._count = 0.0, 0

    def observe(self, seconds: float) -> None:
        """Count a request for predictions that took this long."""
        self._seconds, self._count = self._seconds + seconds, self._count + 1
        for place, bound in enumerate(BUCKETS):
            self._buckets[place] += seconds <= bound

    def text(self, waiting: dict[str, int]) -> str:
        """Return all values; `waiting`: images in the queue of each run."""
        seconds = [f'le="{bound:g}"' for bound in BUCKETS]
        lines = [
            "# TYPE fototeca_requests_total counter",
            *(f'fototeca_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.requests.items())),
            "# TYPE fototeca_images_total counter",
            *(f'fototeca_images_total{{run="{run}"}} {n}' for run, n in sorted(self.images.items())),
            "# TYPE fototeca_waiting_images gauge",
            *(f'fototeca_waiting_images{{run="{run}"}} {n}' for run, n in sorted(waiting.items())),
            "# TYPE fototeca_predict_seconds histogram",
            *(f"fototeca_predict_seconds_bucket{{{le}}} {n}" for le, n in zip(seconds, self._buckets, strict=True)),
            f'fototeca_predict_seconds_bucket{{le="+Inf"}} {self._count}',
            f"fototeca_predict_seconds_sum {self._seconds:.6f}",
            f"fototeca_predict_seconds_count {self._count}",
        ]
        return "\n".join(lines) + "\n"
