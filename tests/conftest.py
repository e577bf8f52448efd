"""Settings of all property tests: the default run draws the same examples every time.

A gate that fails by luck teaches people to press the button again.  Fresh examples come with
``HYPOTHESIS_PROFILE=explore make test``; what they find becomes a named example.
"""

import gc
import os
import signal

from hypothesis import settings

settings.register_profile("fixed", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def answer_ctrl_c() -> None:
    """Let the commands that tests start answer Ctrl-C.

    A shell starts what runs in its background with the signal ignored, which every process below inherits: a command
    that is to be interrupted would go on.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


answer_ctrl_c()
# A full pass over all objects takes a second, more once the tests have read every source of the house, and with the
# usual thresholds there are dozens: a quarter of the processor time of some files.  Memory is the same with few passes.
gc.set_threshold(5_000, 20, 100)


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of garbage collection."""
    gc.freeze()
