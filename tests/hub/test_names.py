"""What is a name, and what is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyslm.errors import ModelNameError
from pyslm.hub import HubName, TagName, parse_name, resolve
from pyslm.hub.quants import quant_of_file


@pytest.mark.parametrize(
    ("text", "parts", "short"),
    [
        ("qwen2.5", ("registry.ollama.ai", "library", "qwen2.5", "latest"), "qwen2.5"),
        ("qwen2.5:latest", ("registry.ollama.ai", "library", "qwen2.5", "latest"), "qwen2.5"),
        ("Me/Bot:V2", ("registry.ollama.ai", "me", "bot", "v2"), "Me/Bot:V2"),
        ("h.io:5000/me/bot:v2", ("h.io+5000", "me", "bot", "v2"), "h.io:5000/me/bot:v2"),
    ],
)
def test_tags_as_ollama_reads_them(text: str, parts: tuple[str, ...], short: str) -> None:
    name = parse_name(text)
    assert isinstance(name, TagName)
    assert name.parts == parts
    assert str(name) == short


@pytest.mark.parametrize("prefix", ["hf:", "hf.co/", "huggingface.co/", "HF.co/"])
def test_hugging_face(prefix: str) -> None:
    assert parse_name(f"{prefix}a/B-GGUF:q4_k_m") == HubName("a/B-GGUF", "q4_k_m")
    assert parse_name(f"{prefix}a/B") == HubName("a/B")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 400,
        "a" * 81,
        "../../etc/passwd",
        "a/../b",
        "a/..:b",
        "..",
        "a:..",
        "a:../b",
        "a//b",
        "a/b/c/d",
        "a:",
        ":a",
        "a:b:c",
        "a b",
        "a\x00",
        "a\n",
        "a\\b",
        "-a",
        "qwen\u0435n",  # a Cyrillic e
        "\uff51wen",  # a full-width q
        "a\u200b",
        "hf:",
        "hf:a",
        "hf:a/b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a--b/c",
        "hf:a/b:",
        "hf:a/b:../x",
        "hf.co/a/b?x=1",
        "C:/x/y",
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ModelNameError) as refused:
        parse_name(text)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isascii()


@given(st.text(max_size=60) | st.from_regex(r"[./:\\a-z-]{0,20}", fullmatch=True))
def test_a_name_never_leaves_its_directory(text: str) -> None:
    root = Path("/store/manifests")
    try:
        name = parse_name(text)
    except ModelNameError:
        return
    tag = name.tag_name("q4_0") if isinstance(name, HubName) else name
    path = root.joinpath(*tag.parts)
    assert Path(*path.parts).resolve().is_relative_to(root)
    assert len(path.relative_to(root).parts) == 4
    assert str(parse_name(str(name))) == str(name)


def test_paths_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    for text in ("model", "./model", str(file), "absent.gguf", "./absent"):
        assert resolve(text) == Path(text)
    assert resolve(file) == file


@pytest.mark.parametrize(
    ("file", "quant"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("nomic-embed-text-v1.5.Q4_K_M.gguf", "Q4_K_M"),
        ("phi-4-Q4_K.gguf", "Q4_K"),
        ("x-fp16.gguf", "F16"),
        ("x-BF16.gguf", "BF16"),
        ("gemma-3-4b-it-UD-Q5_K_XL.gguf", "UD-Q5_K_XL"),
        ("x-IQ4_XS.gguf", "IQ4_XS"),
        ("x-q8_0-00001-of-00002.gguf", "Q8_0"),
        ("folder/x-Q6_K.gguf", "Q6_K"),
        ("ggml-model.gguf", None),
        ("q4.gguf", "Q4"),
        ("faq8.gguf", None),
    ],
)
def test_quantizations_of_files(file: str, quant: str | None) -> None:
    assert quant_of_file(file) == quant
