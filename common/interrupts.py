"""Ctrl-C, SIGTERM, and the end of a terminal (SIGHUP)."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def handled(action: Callable[..., None], *names: str) -> Iterator[None]:
    """Call `action` on these signals. Ignored signals (nohup) stay ignored.

    Only the main thread may handle signals: in another thread nothing changes.
    """
    in_main = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in names if in_main and hasattr(signal, name)]
    numbers = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, action) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def blocked() -> Iterator[None]:
    """Threads and processes that start here do not get Ctrl-C, which a terminal sends to all."""
    resource_tracker.ensure_running()  # a later start of the tracker would unblock signals
    mask = getattr(signal, "pthread_sigmask", lambda *_: None)  # Windows has none
    mask(getattr(signal, "SIG_BLOCK", 0), {signal.SIGINT})
    try:
        yield
    finally:
        mask(getattr(signal, "SIG_UNBLOCK", 0), {signal.SIGINT})
