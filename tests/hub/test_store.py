"""Models that are here already, and what is done with their names."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from hub.fake_hub import COMMIT, FakeHub

from pyslm.errors import InvalidRequestError, ModelNameError, ModelNotFoundError
from pyslm.hub import ModelStore, resolve

DATA = b"GGUF of Ollama"


def put_ollama(root: Path, name: str, tag: str, data: bytes, host: str = "library") -> Path:
    """As Ollama 0.12 keeps a model."""
    digest = hashlib.sha256(data).hexdigest()
    blob = root / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    manifest = root / "manifests" / "registry.ollama.ai" / host / name / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:0", "size": 1},
        {
            "mediaType": "application/vnd.ollama.image.model",
            "digest": f"sha256:{digest}",
            "size": len(data),
        },
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "config": {}, "layers": layers}))
    return blob


def put_cached(root: Path, repo: str, file: str, data: bytes) -> Path:
    """As huggingface_hub keeps a file."""
    folder = root / f"models--{repo.replace('/', '--')}"
    blob = folder / "blobs" / hashlib.sha256(data).hexdigest()
    link = folder / "snapshots" / COMMIT / file
    for path in (blob, link):
        path.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(data)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def test_ollamas_models_are_found_where_they_lie(store: ModelStore, tmp_path: Path) -> None:
    blob = put_ollama(tmp_path / "ollama", "qwen2.5", "0.5b-instruct-q4_K_M", DATA)
    put_ollama(tmp_path / "ollama", "mine", "latest", DATA + b"2", host="me")
    assert {m.name for m in store.list()} == {"qwen2.5:0.5b-instruct-q4_K_M", "me/mine"}
    assert resolve("qwen2.5:0.5b-instruct-q4_K_M") == blob
    assert store.find("qwen2.5:0.5b").path == blob  # the catalog knows that it is one
    assert store.find("qwen2.5-0.5b").origin == "ollama"
    assert store.find("me/mine:latest").size_bytes == len(DATA) + 1
    with pytest.raises(InvalidRequestError, match="ollama rm"):
        store.remove("me/mine")
    assert blob.exists()


def test_damaged_manifests_hide_nothing(store: ModelStore, tmp_path: Path) -> None:
    root = tmp_path / "ollama"
    put_ollama(root, "good", "latest", DATA)
    folder = root / "manifests" / "registry.ollama.ai" / "library"
    layer = {"mediaType": "application/vnd.ollama.image.model", "size": 3}
    for name, text in {
        "a": "{",
        "b": "[]",
        "c": '{"layers": 5}',
        "d": json.dumps({"layers": [{**layer, "digest": "sha256:../../../x"}]}),
        "e": json.dumps({"layers": [{**layer, "digest": "sha256:" + "0" * 64}]}),
        "f": json.dumps({"layers": [None]}),
        "\u00fc": "{}",
    }.items():
        (folder / name).mkdir()
        (folder / name / "latest").write_text(text)
    (folder / "g" / "latest").mkdir(parents=True)
    put_ollama(root, "cut", "latest", DATA + b"3").write_bytes(b"GG")  # bytes are missing
    assert [m.name for m in store.list()] == ["good"]


def test_the_cache_of_hugging_face_is_used_in_place(store: ModelStore, tmp_path: Path) -> None:
    repo = "Qwen/Qwen2.5-0.5B-Instruct-GGUF"
    path = put_cached(tmp_path / "hf", repo, "qwen2.5-0.5b-instruct-q4_k_m.gguf", DATA)
    put_cached(tmp_path / "hf", repo, "mmproj-f16.gguf", b"GGUF image")
    put_cached(tmp_path / "hf", "a/big", "big-q4_0-00001-of-00002.gguf", b"GGUF half")
    assert [m.name for m in store.list()] == [f"hf.co/{repo}:Q4_K_M"]
    for name in (f"hf:{repo}", f"hf:{repo}:q4_k_m", "qwen2.5:0.5b", "qwen2.5-0.5b:q4_k_m"):
        assert store.find(name).path == path
    with pytest.raises(ModelNotFoundError, match="pyslm pull"):
        store.find("qwen2.5:0.5b-instruct-q8_0")
    put_cached(tmp_path / "hf", repo, "qwen2.5-0.5b-instruct-q8_0.gguf", DATA + b"8")
    assert store.find("qwen2.5:0.5b").quant == "Q8_0"  # the finer one, where both fit
    store.remove(f"hf:{repo}:Q8_0")
    assert [m.quant for m in store.list()] == ["Q4_K_M"]
    assert len(list((tmp_path / "hf").rglob("blobs/*"))) == 3


@pytest.mark.usefixtures("hub")
def test_copies_share_the_file_and_the_last_name_takes_it(
    store: ModelStore, tmp_path: Path
) -> None:
    pulled = store.pull("qwen2.5:0.5b-instruct-q4_K_M")
    copied = store.copy("qwen2.5:0.5b", "Team/Small:v1")
    assert copied.path == pulled.path
    assert copied.name == "Team/Small:v1"
    assert store.find("team/small:V1") == copied
    assert sorted(m.name for m in store.list()) == ["Team/Small:v1", pulled.name]
    store.remove(pulled.name)
    assert copied.path.exists()
    store.remove("Team/Small:v1")
    assert store.list() == []
    assert not [p for p in (tmp_path / "hf").rglob("blobs/*") if p.suffix != ".lock"]


def test_names_of_hugging_face_are_removed_as_well(hub: FakeHub, store: ModelStore) -> None:
    name = "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q2_K"
    store.pull(name)
    assert [m.name for m in store.list()] == ["hf.co/Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q2_K"]
    store.remove(name)
    assert store.list() == []
    assert len(hub.gets()) == 1


def test_a_file_is_adopted_by_copying_it(store: ModelStore, tmp_path: Path) -> None:
    file = tmp_path / "tuned.gguf"
    file.write_bytes(DATA)
    copied = store.adopt(file, "tuned")
    file.unlink()
    assert copied.path.read_bytes() == DATA
    assert copied.path.name == f"sha256-{hashlib.sha256(DATA).hexdigest()}"
    assert store.find("tuned:latest") == copied
    store.remove("tuned")
    assert not copied.path.exists()


def test_names_are_checked_before_anything_is_written(store: ModelStore, tmp_path: Path) -> None:
    file = tmp_path / "tuned.gguf"
    file.write_bytes(DATA)
    for bad in ("../x", "hf:a/b", "a/b/c/d", ""):
        with pytest.raises(ModelNameError):
            store.adopt(file, bad)
    assert not (tmp_path / "store").exists()


def test_a_name_whose_file_is_gone_is_none(store: ModelStore, tmp_path: Path) -> None:
    file = tmp_path / "tuned.gguf"
    file.write_bytes(DATA)
    store.adopt(file, "tuned").path.unlink()
    assert store.list() == []
    with pytest.raises(ModelNotFoundError):
        store.find("tuned")
