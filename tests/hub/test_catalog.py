"""The catalog of the package, and the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.hub import HubName, ModelCatalog, parse_name
from pyslm.hub.quants import quant_of_file


@pytest.fixture(scope="module")
def own() -> ModelCatalog:
    return ModelCatalog.load()


@pytest.mark.parametrize(
    ("name", "model", "quant"),
    [
        ("qwen2.5-0.5b", "qwen2.5:0.5b", None),
        ("qwen2.5:0.5b", "qwen2.5:0.5b", None),
        ("qwen2.5:0.5b-instruct", "qwen2.5:0.5b", None),
        ("qwen2.5:0.5b-instruct-q4_K_M", "qwen2.5:0.5b", "Q4_K_M"),
        ("QWEN2.5:0.5B-Q8_0", "qwen2.5:0.5b", "Q8_0"),
        ("qwen2.5-coder-0.5b", "qwen2.5-coder:0.5b", None),
        ("phi-4-mini", "phi4-mini:3.8b", None),
        ("phi-4-mini:q8_0", "phi4-mini:3.8b", "Q8_0"),
        ("phi-4", "phi4:14b", None),
        ("phi4-mini", "phi4-mini:3.8b", None),
        ("llama3.2", "llama3.2:3b", None),
        ("llama3.2:1b", "llama3.2:1b", None),
        ("all-minilm", "all-minilm:22m", None),
        ("nomic-embed-text", "nomic-embed-text:v1.5", None),
    ],
)
def test_names_people_use(own: ModelCatalog, name: str, model: str, quant: str | None) -> None:
    found = own.find(name)
    assert found is not None
    assert (found[0].name, found[1]) == (model, quant)


@pytest.mark.parametrize("name", ["qwen", "qwen2.5:9b", "qwen2.5:0.5b-frob", "phi-4-minix", "q4_0"])
def test_names_nobody_knows(own: ModelCatalog, name: str) -> None:
    assert own.find(name) is None


def test_each_model_is_found_by_all_of_its_names_and_only_once(own: ModelCatalog) -> None:
    for model in own.models:
        names = [model.name, *model.aliases, *(f"{model.family}:{tag}" for tag in model.tags)]
        for name in names:
            assert own.find(name) == (model, None), name
        assert isinstance(parse_name(f"hf:{model.repository}"), HubName)
        for variant in model.variants:
            assert quant_of_file(model.file_name(variant.quant)) == variant.quant
            assert model.parameters * 0.25 < variant.size_bytes < model.parameters * 4.1


def test_the_user_adds_and_replaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        """
        [[model]]
        name = "house:2b"
        aliases = ["house-2b"]
        repository = "me/house-GGUF"
        file = "house-{quant}.gguf"
        parameters = 2000000000
        variants = { Q4_K_M = 1234567890, Q8_0 = 2234567890 }

        [[model]]
        name = "phi4:14b"
        tags = ["14b", "latest"]
        repository = "me/phi-GGUF"
        file = "phi-{quant}.gguf"
        parameters = 14000000000
        """
    )
    monkeypatch.setenv("PYSLM_CATALOG", str(file))
    catalog = ModelCatalog.load()
    found = catalog.find("house-2b:q8_0")
    assert found is not None
    assert found[1] == "Q8_0"
    assert found[0].variants[0].size_bytes == 1234567890
    assert found[0].variants[0].is_exact
    phi = catalog.find("phi4")
    assert phi is not None
    assert phi[0].repository == "me/phi-GGUF"
    assert catalog.find("qwen2.5:0.5b") is not None


@pytest.mark.parametrize(
    ("name", "file", "gigabytes"),
    [  # as Hugging Face lists the files
        ("tinyllama:1.1b-chat-q4_K_M", "tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", 0.67),
        ("codellama:7b-code-q4_K_M", "codellama-7b.Q4_K_M.gguf", 4.08),
        ("codegemma:7b-code-q4_K_M", "codegemma-7b-Q4_K_M.gguf", 5.33),
    ],
)
def test_the_guides_further_models(name: str, file: str, gigabytes: float) -> None:
    found = ModelCatalog.load().find(name)
    assert found is not None
    model, quant = found
    assert quant == "Q4_K_M"
    assert model.file.format(quant=quant) == file
    (size,) = (each.size_bytes for each in model.variants if each.quant == quant)
    assert size / 1e9 == pytest.approx(gigabytes, rel=0.06)


ENTRY = 'name = "a:1b"\nrepository = "me/a"\nfile = "a-{quant}.gguf"\nparameters = 5\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model = 5", "list of tables"),
        ("x = [", "cannot be read"),
        ("[[model]]\nname = 'x'", "missing"),
        ("[[model]]\n" + ENTRY.replace("me/a", "../a"), "name"),
        ("[[model]]\n" + ENTRY.replace("a:1b", "../a"), "name"),
        ("[[model]]\n" + ENTRY + "roles = ['cook']", "cook"),
        ("[[model]]\n" + ENTRY + "variants = ['Q9_9']", "Q9_9"),
        ("[[model]]\n" + ENTRY + "variants = []", "variants"),
        ("[[model]]\n" + ENTRY + "variants = {Q4_0 = 'much'}", "much"),
    ],
)
def test_an_unsound_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    monkeypatch.setenv("PYSLM_CATALOG", str(file))
    with pytest.raises(InvalidRequestError, match=told):
        ModelCatalog.load()
    monkeypatch.setenv("PYSLM_CATALOG", str(tmp_path / "absent"))
    with pytest.raises(InvalidRequestError, match="PYSLM_CATALOG"):
        ModelCatalog.load()
