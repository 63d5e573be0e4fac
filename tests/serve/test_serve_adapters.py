"""LoRA adapters as models of their own (contract A3), over the published clients."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from reference.lora import merged, random_deltas, write_adapter
from serve.server_process import ServerProcess
from stories import stories

import pyslm

ASKED: dict[str, Any] = {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 20}
NAMES = ["stories", "pirate", "poet"]


@pytest.fixture(scope="module")
def expected(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the model and those merged with each adapter say; and the adapters' files."""
    folder = tmp_path_factory.mktemp("lora")
    texts: dict[str, str] = {}
    files: dict[str, Path] = {}
    params = pyslm.SamplingParams(temperature=0, max_tokens=20)
    for seed, name in enumerate(NAMES):
        model = stories(shared)
        if seed:
            deltas = random_deltas(model, rank=4, seed=seed)
            files[name] = write_adapter(folder / f"{name}.gguf", "llama", deltas, alpha=4)
            target = folder / f"{name}-merged.gguf"
            merged(model, target, deltas, alpha=4)
            model = target
        with pyslm.LLM(model) as llm:
            texts[name] = llm.generate(ASKED["prompt"], params).text
    assert len(set(texts.values())) == 3
    return {"texts": texts, "files": files}


@pytest.fixture(scope="module")
def served(shared: Path, expected: dict[str, Any]) -> Iterator[ServerProcess]:
    options = [f"--lora={name}={path}" for name, path in expected["files"].items()]
    server = ServerProcess(stories(shared), "--name", "stories", *options)
    yield server
    assert server.stop() == 0


def test_each_name_is_a_model(served: ServerProcess, expected: dict[str, Any]) -> None:
    client = served.openai()
    listed: list[Any] = client.models.list().data
    assert [(model.id, model.parent) for model in listed] == [
        ("stories", None),
        ("pirate", "stories"),
        ("poet", "stories"),
    ]
    for name in NAMES:
        answer = client.completions.create(model=name, **ASKED)
        assert answer.model == name
        assert answer.choices[0].text == expected["texts"][name]
    assert len(served.workers()) == 1


def test_they_share_their_steps(served: ServerProcess, expected: dict[str, Any]) -> None:
    """Many at once say what each says alone."""
    client = served.openai()

    def ask(name: str) -> str:
        return client.completions.create(model=name, **ASKED).choices[0].text

    asked = NAMES * 4
    with ThreadPoolExecutor(len(asked)) as pool:
        assert list(pool.map(ask, asked)) == [expected["texts"][name] for name in asked]


def test_other_dialects_know_them(served: ServerProcess, expected: dict[str, Any]) -> None:
    with served.http() as http:
        tags = http.get("/api/tags").json()["models"]
        assert [tag["name"] for tag in tags] == [f"{name}:latest" for name in NAMES]
        assert [tag["details"]["parent_model"] for tag in tags] == ["", "stories", "stories"]
        asked = {"model": "poet:latest", "prompt": ASKED["prompt"], "raw": True, "stream": False}
        options = {"temperature": 0, "num_predict": 20}
        answer = http.post("/api/generate", json={**asked, "options": options}).json()
        assert answer["response"] == expected["texts"]["poet"]


def test_they_embed(served: ServerProcess, shared: Path, expected: dict[str, Any]) -> None:
    client = served.openai()
    merged_file = expected["files"]["poet"].with_name("poet-merged.gguf")
    for name, model in (("poet", merged_file), ("stories", stories(shared))):
        with pyslm.LLM(model) as llm:
            (vector,) = llm.embed("A dog")
        found = client.embeddings.create(model=name, input="A dog").data[0].embedding
        assert found == pytest.approx(vector.tolist(), abs=1e-4)


def test_the_model_goes_and_comes_back_with_them(
    served: ServerProcess, expected: dict[str, Any]
) -> None:
    with served.http() as http:
        assert http.post("/api/generate", json={"model": "poet", "keep_alive": 0}).is_success
        assert http.get("/api/ps").json() == {"models": []}
    answer = served.openai().completions.create(model="poet", **ASKED)
    assert answer.choices[0].text == expected["texts"]["poet"]


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("pirate", "NAME=PATH"),
        ("=x.gguf", "NAME=PATH"),
        ("a=nothing.gguf", "no such file"),
        ("stories260K=MODEL", "'stories260K' is taken"),
        ("a=MODEL", "adapter"),
    ],
)
def test_a_bad_adapter_is_named(shared: Path, option: str, named: str) -> None:
    path = str(stories(shared))
    with pytest.raises(AssertionError, match="did not start") as caught:
        ServerProcess(path, "--lora", option.replace("MODEL", path))
    assert named in str(caught.value)


def test_metrics_are_the_models(served: ServerProcess) -> None:
    page = httpx.get(f"{served.url}/metrics", trust_env=False).text
    assert 'model_name="stories"' in page
    assert 'model_name="poet"' not in page
