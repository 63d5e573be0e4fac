"""`benchmarks/agents.py` runs from end to end on a small model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from reference.rewrite import rewrite
from stories import stories

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "agents.py"


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    target = tmp_path_factory.mktemp("agents") / "model.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 16384}
    return rewrite(stories(shared), target, metadata=metadata)


def test_all_parts(model: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    # A safe path (see tests/conftest.py) would leave out the script's own folder.
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "PYSLM_PEER_PYTHON")
    }
    done = subprocess.run(
        [sys.executable, SCRIPT, model, "--rounds", "1", "--threads", "1", "--context", "16384",
         "--json", figures],
        env=environment, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(figures.read_text())
    loop = report["loop"]
    assert 0 < loop["found_tokens"] < loop["prompt_tokens"]
    assert loop["ratios"] == {}
    assert report["routing"]["ms"] > 0
    assert report["routing"]["prompt_tokens"] > 50
    assert set(report["overhead"]) == {"alone", "in a session"}
    assert 0 < report["start"]["warm"] < report["start"]["first_call"]
