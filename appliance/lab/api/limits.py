"""The request bucket of a project: 3600, refilled one a second (docs.hetzner.cloud, "Rate Limiting")."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Bucket:
    size: int = 3600
    per_second: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _level: float = field(init=False)
    _at: float = field(init=False)

    def __post_init__(self) -> None:
        self._level, self._at = float(self.size), self.clock()

    def take(self) -> bool:
        """Take one; False when it is empty."""
        self._refill()
        if self._level < 1:
            return False
        self._level -= 1
        return True

    def headers(self) -> dict[str, str]:
        """RateLimit-Reset is the time (UNIX) at which the bucket would be full again."""
        self._refill()
        full_in = (self.size - self._level) / self.per_second
        return {
            "RateLimit-Limit": str(self.size),
            "RateLimit-Remaining": str(int(self._level)),
            "RateLimit-Reset": str(int(time.time() + full_in)),
        }

    def _refill(self) -> None:
        at = self.clock()
        self._level = min(float(self.size), self._level + (at - self._at) * self.per_second)
        self._at = at
