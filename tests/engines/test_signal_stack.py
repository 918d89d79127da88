"""A process that ran OpenVINO must survive its next signal, whichever thread let the engine go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.real import ROOT

CODE = """
import gc, os, signal, sys, threading
import numpy as np
from buildext.engines.openvino import OpenVinoEngine
from buildext.models.store import load_model

engines = [OpenVinoEngine(load_model("default").weights, 64)]
engines[0].infer(np.zeros((1, 3, 64, 64), np.uint8))

def let_go():
    engines.clear()
    gc.collect()

thread = threading.Thread(target=let_go)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print("survived"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_after_the_engine_has_gone_is_survived() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=Path(ROOT), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "survived\n"
