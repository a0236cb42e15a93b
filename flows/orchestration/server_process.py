"""The process of a run's own Prefect server: ``prefect server start``, and its end when the run ends.

    python server_process.py server start ...    # stdin: a pipe of which the run holds the other end

The pipe is closed however the run ends, by ``kill -9`` too. Nothing else ends the server: the signals that stop a run
reach its whole group or control group, and a server that was gone first could not be told of the stop.
"""

import atexit
import gc
import os
import runpy
import signal
import sys
import threading

ENDING_SECONDS = 120  # until a server that was told to end is killed; its work is a second's on an idle machine


def _end_with_the_run() -> None:
    os.read(0, 1)  # nothing is ever written there
    signal.alarm(ENDING_SECONDS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    os.kill(os.getpid(), signal.SIGTERM)  # before the server has begun it ends at once, then when all is written


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    gc.set_threshold(50_000)  # of the thousands of modules that it loads none is garbage,
    atexit.register(gc.freeze)  # nor when the process ends: the run waits for that
    sys.argv[0] = "prefect"
    runpy.run_module("prefect", run_name="__main__")
