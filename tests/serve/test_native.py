"""The routes of vLLM and llama.cpp beside OpenAI's: tokens, scores, filling in the middle."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import httpx
import numpy as np
import pytest
from reference.rewrite import rewrite
from reference.tiny_encoder import write_tiny_encoder
from serve.server_process import ServerProcess
from stories import CHAT_TEMPLATE, PROMPT, stories

import pyslm
from pyslm.serve.infill import find_infill

FIM = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
FIM_IDS = [509, 510, 511]
QUERY = "how warm is it"
DOCUMENTS = ["it is warm", "the cat sat", "warm warm warm", "a dog"]


@pytest.fixture(scope="module")
def code_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stories260K whose last tokens are those for filling in the middle."""
    fields = gguf.GGUFReader(stories(shared)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    for ident, name in zip(FIM_IDS, FIM, strict=True):
        tokens[ident] = name
        types[ident] = int(gguf.TokenType.CONTROL)
    metadata = {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    metadata["tokenizer.chat_template"] = CHAT_TEMPLATE
    return rewrite(
        stories(shared), tmp_path_factory.mktemp("code") / "code.gguf", metadata=metadata
    )


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {
        "rank": write_tiny_encoder(
            folder / "rank.gguf", "bert", pooling=gguf.PoolingType.RANK, rank_dense=True
        ),
        "mean": write_tiny_encoder(folder / "mean.gguf", "bert"),
    }


@pytest.fixture(scope="module")
def http(code_model: Path, encoders: dict[str, Path]) -> Iterator[httpx.Client]:
    server = ServerProcess(code_model, *encoders.values(), "--name", "code")
    with server.http() as client:
        yield client
    assert server.stop() == 0


def test_tokens_as_vllm_has_them(http: httpx.Client, code_model: Path) -> None:
    with pyslm.LLM(code_model) as llm:
        ids = llm.tokenize(PROMPT)
        turns = [{"role": "user", "content": "Hi"}]
        chat_ids = llm.encode_chat(turns)
    asked = {"model": "code", "prompt": PROMPT, "return_token_strs": True}
    found = http.post("/tokenize", json=asked).json()
    assert found["tokens"] == ids
    assert (found["count"], found["max_model_len"]) == (len(ids), 512)
    assert "".join(found["token_strs"]).strip() == PROMPT
    bare = http.post("/tokenize", json={"prompt": PROMPT, "add_special_tokens": False}).json()
    assert bare["tokens"] == ids[1:]
    assert http.post("/tokenize", json={"messages": turns}).json()["tokens"] == chat_ids
    back = http.post("/detokenize", json={"tokens": bare["tokens"]}).json()
    assert back["prompt"].strip() == PROMPT


def test_tokens_as_llama_cpp_has_them(http: httpx.Client) -> None:
    plain = http.post("/tokenize", json={"content": "A dog"}).json()
    assert set(plain) == {"tokens"}
    special = http.post("/tokenize", json={"content": "A dog", "add_special": True}).json()
    assert special["tokens"] == [1, *plain["tokens"]]
    marked = http.post("/tokenize", json={"content": "<|fim_middle|>"}).json()
    assert marked["tokens"][-1] == FIM_IDS[2]
    text = http.post("/tokenize", json={"content": "<|fim_middle|>", "parse_special": False}).json()
    assert FIM_IDS[2] not in text["tokens"]
    pieces = http.post("/tokenize", json={"content": "é!", "with_pieces": True}).json()["tokens"]
    raw = b"".join(
        piece["piece"].encode() if isinstance(piece["piece"], str) else bytes(piece["piece"])
        for piece in pieces
    )
    assert raw.decode().strip() == "é!"
    assert http.post("/detokenize", json=plain).json()["content"].strip() == "A dog"


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_are_ranked(http: httpx.Client, encoders: dict[str, Path], path: str) -> None:
    with pyslm.LLM(encoders["rank"]) as llm:
        expected = llm.rerank(QUERY, DOCUMENTS)
    asked: dict[str, Any] = {"model": "rank", "query": QUERY, "documents": DOCUMENTS}
    body = http.post(path, json=asked).json()
    results = body["results"]
    order = [result["index"] for result in results]
    assert order == sorted(range(4), key=lambda i: -expected[i])
    for result in results:
        score = 1 / (1 + math.exp(-expected[result["index"]]))
        assert result["relevance_score"] == pytest.approx(score, abs=1e-6)
        assert result["document"] == {"text": DOCUMENTS[result["index"]]}
    assert body["usage"]["total_tokens"] > 20
    few = http.post(path, json={**asked, "top_n": 2, "return_documents": False}).json()["results"]
    assert [result["index"] for result in few] == order[:2]
    assert "document" not in few[0]
    objects = [{"text": text} for text in DOCUMENTS]
    raw = http.post(path, json={**asked, "documents": objects, "use_activation": False}).json()
    assert raw["results"][0]["relevance_score"] == pytest.approx(max(expected), abs=1e-6)


@pytest.mark.parametrize("path", ["/score", "/v1/score"])
def test_pairs_are_scored(http: httpx.Client, encoders: dict[str, Path], path: str) -> None:
    with pyslm.LLM(encoders["rank"]) as llm:
        ranks = llm.rerank(QUERY, DOCUMENTS)
    with pyslm.LLM(encoders["mean"]) as llm:
        vectors = llm.embed([QUERY, *DOCUMENTS])
    asked = {"text_1": QUERY, "text_2": DOCUMENTS, "use_activation": False}
    data = http.post(path, json={**asked, "model": "rank"}).json()["data"]
    assert [row["score"] for row in data] == pytest.approx(ranks, abs=1e-6)
    assert [row["index"] for row in data] == [0, 1, 2, 3]
    data = http.post(path, json={**asked, "model": "mean"}).json()["data"]
    cosines = (vectors[1:] @ vectors[0]).tolist()
    assert [row["score"] for row in data] == pytest.approx(cosines, abs=1e-5)
    same = http.post(path, json={"model": "mean", "text_1": DOCUMENTS, "text_2": DOCUMENTS}).json()
    assert [row["score"] for row in same["data"]] == pytest.approx([1.0] * 4, abs=1e-5)


def test_continuations_are_scored(http: httpx.Client, code_model: Path) -> None:
    texts = [", there was", ", a dog", " xyz"]
    with pyslm.LLM(code_model) as llm:
        expected = llm.score(PROMPT, texts)
    asked = {"model": "code", "prompt": PROMPT, "continuations": texts}
    body = http.post("/score", json=asked).json()
    for row, score in zip(body["data"], expected, strict=True):
        assert row["score"] == pytest.approx(score.logprob, abs=1e-4)
        assert row["is_greedy"] == score.is_greedy
        assert row["num_tokens"] == len(score.tokens)
    assert np.argmax([row["score"] for row in body["data"]]) == 0


def test_the_middle_is_filled_in(http: httpx.Client, code_model: Path) -> None:
    """By /infill, OpenAI's suffix and Ollama's alike: with the model's own tokens."""
    with pyslm.LLM(code_model) as llm:
        head = llm.tokenize("def f(", add_special_tokens=False)
        tail = llm.tokenize("return 1", add_special_tokens=False)
        prefix, suffix, middle = FIM_IDS
        ids = [1, prefix, *head, suffix, *tail, middle]
        expected = llm.generate(ids, pyslm.SamplingParams(temperature=0, max_tokens=9)).text
    sampled = {"model": "code", "temperature": 0}
    gap = {"input_prefix": "def ", "prompt": "f(", "input_suffix": "return 1", "n_predict": 9}
    found = http.post("/infill", json={**sampled, **gap, "samplers": ["top_k"]})
    assert found.headers["x-pyslm-ignored-fields"] == "samplers"
    body = found.json()
    assert body["content"] == expected
    assert (body["stop_type"], body["tokens_predicted"]) == ("limit", 9)
    assert body["tokens_evaluated"] == len(ids)
    streamed = http.post("/infill", json={**sampled, **gap, "stream": True}).text
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line]
    assert "".join(event["content"] for event in events) == expected
    assert [event["stop"] for event in events][-2:] == [False, True]
    asked = {**sampled, "prompt": "def f(", "suffix": "return 1", "max_tokens": 9}
    answer = http.post("/v1/completions", json={**asked, "return_token_ids": True}).json()
    assert answer["choices"][0]["text"] == expected
    assert answer["choices"][0]["prompt_token_ids"] == ids
    options = {"temperature": 0, "num_predict": 9}
    asked = {"model": "code", "prompt": "def f(", "suffix": "return 1", "options": options}
    answer = http.post("/api/generate", json={**asked, "stream": False}).json()
    assert answer["response"] == expected
    shown = http.post("/api/show", json={"model": "code"}).json()
    assert "insert" in shown["capabilities"]


def test_other_files_come_first(http: httpx.Client) -> None:
    gap = {"input_prefix": "a", "input_suffix": "b", "n_predict": 0}
    alone = http.post("/infill", json=gap).json()
    assert alone["content"] == ""
    extra = [{"filename": "x.py", "text": "x = 1"}, {"text": "y = 2"}]
    found = http.post("/infill", json={**gap, "input_extra": extra, "cache_prompt": True}).json()
    assert found["tokens_evaluated"] > alone["tokens_evaluated"] + 10


def test_repositories_are_written_with_their_tokens() -> None:
    """As Qwen2.5-Coder's report shows them."""
    names = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>"]
    found = find_infill({name: i for i, name in enumerate(names, 1)}.get)
    assert found is not None
    texts: list[str] = []

    def encode(text: str) -> list[int]:
        texts.append(text)
        return [100 + len(texts) - 1]

    ids = found.write(encode, "before", "", [("x.py", "x = 1")])
    written = "".join(names[i - 1] if i < 100 else texts[i - 100] for i in ids)
    assert written == (
        "<|repo_name|>myproject\n<|file_sep|>x.py\nx = 1<|file_sep|>filename\n"
        "<|fim_prefix|>before<|fim_suffix|><|fim_middle|>"
    )
    assert find_infill({"<|fim_prefix|>": 1, "<|fim_suffix|>": 2}.get) is None


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/tokenize", {}, "one of content, prompt and messages"),
        ("/tokenize", {"content": "a", "prompt": "b"}, "content and prompt"),
        ("/detokenize", {"tokens": [99999]}, "99999"),
        ("/rerank", {"model": "code", "query": "a", "documents": []}, "documents"),
        ("/rerank", {"model": "rank", "query": "a " * 900, "documents": ["b"]}, "context"),
        ("/score", {"text_1": "a"}, "text_2|nothing to score"),
        ("/score", {"text_1": ["a", "b"], "text_2": ["c"]}, "text_1 has 2 texts and text_2 1"),
        ("/score", {"continuations": ["a"]}, "need a prompt"),
        ("/score", {"model": "mean", "prompt": "a", "continuations": ["b"]}, "embed"),
        (
            "/infill",
            {"input_prefix": "a", "input_suffix": "b", "json_schema": 0},
            "json_schema",
        ),
        ("/infill", {"model": "mean", "input_prefix": "a", "input_suffix": "b"}, "embeddings"),
        (
            "/infill",
            {"input_prefix": "a", "input_suffix": "b", "input_extra": [3]},
            "input_extra.0",
        ),
        ("/infill", {"input_prefix": "a", "input_suffix": "b", "n": 2}, "n: only 1"),
        ("/v1/embeddings", {"model": "rank", "input": "a"}, "rerank"),
    ],
)
def test_what_cannot_be_done_is_named(
    http: httpx.Client, path: str, body: dict[str, Any], named: str
) -> None:
    response = http.post(path, json=body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert any(word in error["message"] for word in named.split("|")), error


def test_many_texts_do_not_fill_the_queue(http: httpx.Client) -> None:
    """More than may wait: they are computed a few at a time."""
    texts = [f"word {i % 7}" for i in range(600)]
    data = http.post("/v1/embeddings", json={"model": "mean", "input": texts}).json()["data"]
    assert len(data) == 600
    assert data[0]["embedding"] == data[595]["embedding"] != data[1]["embedding"]
    asked = {"model": "rank", "query": QUERY, "documents": texts}
    assert len(http.post("/rerank", json=asked).json()["results"]) == 600


def test_models_without_the_tokens_say_so(server: ServerProcess) -> None:
    with server.http() as http:
        gap = {"input_prefix": "a", "input_suffix": "b"}
        for path, body in (
            ("/infill", gap),
            ("/v1/completions", {"prompt": "a", "suffix": "b"}),
        ):
            response = http.post(path, json=body)
            assert response.status_code == 400
            assert "no tokens for filling in the middle" in response.json()["error"]["message"]


def test_version(http: httpx.Client) -> None:
    assert http.get("/version").json() == {"version": pyslm.__version__}
