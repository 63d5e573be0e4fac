"""`python -m pyslm.serve.worker SOCKET`: started by the front, not by people."""

from __future__ import annotations

import sys

from pyslm.serve.worker.server import run_worker

if __name__ == "__main__":
    run_worker(sys.argv[1])
