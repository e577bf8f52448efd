"""Ctrl-C and SIGTERM during a run."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

__all__ = ["Signals"]

# Seconds for the batches that are out (a replication of some studies takes minutes), and until what computes in this
# process is interrupted.
_GRACE, _LATEST = 1.5, 2.0


class Signals:
    """SIGINT and SIGTERM ask the run to end after the batches that are out; a second one ends it at once.

    Batches that are not back within two seconds are given up, as if the signal had come again: their rows are computed
    when the command is given once more.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0
        self._previous: dict[int, Any] = {}
        self._again: threading.Timer | None = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            self._calm()
            raise KeyboardInterrupt
        self.received, self._since = number, time.monotonic()
        self._again = threading.Timer(_LATEST, os.kill, (os.getpid(), number))
        self._again.daemon = True
        self._again.start()

    def end_if_overdue(self) -> None:
        """End the run between two steps where batches are not back in time.

        Raises
        ------
        KeyboardInterrupt
        """
        if self.received is not None and time.monotonic() - self._since > _GRACE:
            raise KeyboardInterrupt

    def _calm(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def __exit__(self, *error: object) -> None:
        self._calm()
        for number, handler in self._previous.items():
            signal.signal(number, handler)
