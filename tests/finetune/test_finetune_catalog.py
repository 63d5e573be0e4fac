"""A person's own tools become requests; malformed ones are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from pyslm.chat.nearness import NearnessTable, NearnessWeights
from pyslm.chat.tools import tools_of
from pyslm.cli import invoke
from pyslm.errors import InvalidRequestError, ModelFileError, ModelNotFoundError, PyslmError
from pyslm.finetune.adapt import adapt
from pyslm.finetune.catalog import MAX_TOOLS, read_catalog
from pyslm.finetune.config import preset
from pyslm.finetune.own_data import catalog_cases
from pyslm.finetune.vocabulary import NanoVocabulary


def _tool(name: str, description: str, required: tuple[str, ...] = (), **properties: Any) -> Any:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"name": name, "description": description, "parameters": parameters}


TOOLS = [
    _tool(
        "get_inverter_status", "Returns the status of a solar inverter.", ("inverter_id",),
        inverter_id={"type": "string"}, unit={"type": "string", "enum": ["kW", "W"]},
        options={"type": "object"},
    ),
    _tool("open_valve", "Open a valve", ("valve",), valve={"type": "integer"}),
]  # fmt: skip


def _write(folder: Path, content: Any) -> Path:
    path = folder / "tools.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_requests_for_own_tools(tmp_path: Path) -> None:
    catalog = read_catalog(_write(tmp_path, {"tools": TOOLS}))
    status, valve = catalog
    assert "return the status of a solar inverter" in status.acts
    assert "open valve" in valve.acts
    assert "unlock the valve" in valve.para_acts
    cases = catalog_cases(catalog, 100)
    tools = tools_of(TOOLS)
    called = set()
    for case in cases:
        offered = tools_of(case.tools)
        for name, arguments in case.calls:
            called.add(name)
            jsonschema.validate(arguments, offered[name].argument_schema())
    assert called >= set(tools)
    assert cases == catalog_cases(catalog, 100)


def test_the_tools_are_described_as_they_are(tmp_path: Path) -> None:
    catalog = read_catalog(_write(tmp_path, TOOLS))
    assert catalog[0].described()["function"]["parameters"] == TOOLS[0]["parameters"]


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ("[", ModelFileError, "no JSON"),
        ([], InvalidRequestError, "no tools"),
        ({"tool": 1}, InvalidRequestError, "no tools"),
        ([{"name": "a b"}], InvalidRequestError, "allowed: 1 to 256"),
        ([TOOLS[1], TOOLS[1]], InvalidRequestError, "two tools are named"),
        ([_tool(f"t{i}", "") for i in range(MAX_TOOLS + 1)], InvalidRequestError, "at most"),
        ([_tool("f", "", ("x",), x={"type": "object"})], InvalidRequestError, "requires 'x'"),
    ],
)
def test_bad_catalogs(tmp_path: Path, content: Any, kind: type[PyslmError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read_catalog(_write(tmp_path, content))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        read_catalog(tmp_path / "none.json")


def test_adapting_writes_the_better_model(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    from pyslm.finetune.export import export
    from pyslm.finetune.model import Nano
    from pyslm.finetune.restore import restore

    torch.manual_seed(0)
    vectors = np.random.default_rng(0).normal(size=(len(vocabulary.tokens), 8)).astype(np.float32)
    nearness = NearnessTable.of(vectors, "F32", NearnessWeights(4.0, 0.25, 1.0, 2.0))
    base = export(Nano(preset("tiny")[0]), vocabulary, tmp_path / "base.gguf", nearness=nearness)
    untouched = base.read_bytes()
    done: list[float] = []
    report = adapt(
        _write(tmp_path, TOOLS), tmp_path / "my.gguf", base,
        steps=2, num_cases=8, progress=done.append,
    )  # fmt: skip
    assert done == [0.5, 1.0]
    assert (report.num_tools, report.num_cases) == (2, 8)
    assert 0 <= report.before <= 1
    assert report.improved == (report.after > report.before)
    if not report.improved:
        assert report.out.read_bytes() == untouched
    assert base.read_bytes() == untouched
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"base.gguf", "my.gguf", "tools.json"}
    made = restore(report.out)
    assert made.config == preset("tiny")[0]
    assert made.nearness == nearness


def test_what_was_exported_comes_back(vocabulary: NanoVocabulary, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    from pyslm.finetune.export import export
    from pyslm.finetune.model import Nano
    from pyslm.finetune.restore import restore

    model = Nano(preset("tiny")[0])
    path = export(model, vocabulary, tmp_path / "m.gguf", "F32")
    back = restore(path)
    assert back.vocabulary.tokens == vocabulary.tokens
    assert back.vocabulary.merges == vocabulary.merges
    for name, weight in model.state_dict().items():
        assert torch.equal(back.weights[name], weight), name


def test_another_model_cannot_be_adapted(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    with pytest.raises(PyslmError, match=r"is no model of `pyslm\.finetune`"):
        adapt(
            _write(tmp_path, TOOLS), tmp_path / "out.gguf",
            shared / "models" / "stories260K.gguf",
        )  # fmt: skip
    assert not (tmp_path / "out.gguf").exists()


def test_the_verb(
    vocabulary: NanoVocabulary, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    from pyslm.finetune.export import export
    from pyslm.finetune.model import Nano

    base = export(Nano(preset("tiny")[0]), vocabulary, tmp_path / "base.gguf")
    tools, out = str(_write(tmp_path, TOOLS)), str(tmp_path / "my.gguf")
    verb = ["finetune", tools, "--base", str(base), "--out", out, "--steps", "1", "--cases", "4"]
    assert invoke(verb) == 0
    assert "4 requests for 2 tools" in capsys.readouterr().out
    assert invoke(verb) == 2
    assert "--force" in capsys.readouterr().err
    assert invoke(["finetune", tools, "--base", str(base), "--out", str(base), "--force"]) == 2


def test_the_verb_without_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert invoke(["finetune", "t.json", "--base", "b.gguf", "--out", str(tmp_path / "o")]) == 2
    assert "pip install 'pyslm[train]'" in capsys.readouterr().err
