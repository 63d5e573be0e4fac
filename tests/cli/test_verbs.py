"""What each verb prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from stories import STORY, chat_stories

from pyslm import LLM, SamplingParams, __version__
from pyslm.cli import invoke
from pyslm.perplexity import measure_perplexity

VERBS = [
    "run",
    "embed",
    "tokenize",
    "inspect",
    "perplexity",
    "bench",
    "convert",
    "quantize",
    "finetune",
    "doctor",
]

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def stories(shared: Path) -> str:
    return str(shared / "models" / "stories260K.gguf")


def output(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_help_lists_every_verb_and_teaches(capsys: Capture) -> None:
    out = output(capsys, "--help")
    for verb in VERBS:
        assert f"│ {verb} " in out
    assert output(capsys) == out
    for verb in set(VERBS) - {"doctor"}:
        assert f"pyslm {verb} " in output(capsys, verb, "--help").split("Arguments")[0]


def test_version(capsys: Capture) -> None:
    assert output(capsys, "--version").startswith(f"pyslm {__version__} ")


def test_run_streams_the_story(stories: str, capsys: Capture) -> None:
    arguments = ["run", stories, "Once upon a time", "--raw", "--temperature", "0", "-n", "40"]
    out = output(capsys, *arguments)
    assert out.startswith(STORY)
    assert out.endswith("\n")
    assert output(capsys, *arguments) == out


def test_run_json(stories: str, capsys: Capture) -> None:
    record = json.loads(
        output(capsys, "run", stories, "Once upon a time", "-n", "8", "--seed", "5", "--json")
    )
    assert record["seed"] == 5
    assert record["usage"]["completion_tokens"] == len(record["token_ids"]) == 8
    assert record["finish_reason"] == "length"
    assert record["timings"]["load_seconds"] > 0
    assert record["text"] in output(
        capsys, "run", stories, "Once upon a time", *["-n", "8", "--seed", "5"]
    )


def test_run_holds_to_a_choice_and_a_regex(stories: str, capsys: Capture) -> None:
    chosen = output(capsys, "run", stories, "It was", "--choice", "red", "--choice", "blue")
    assert chosen in ("red\n", "blue\n")
    assert re.fullmatch("[a-c]{3}\n", output(capsys, "run", stories, "x", "--regex", "[a-c]{3}"))


def test_run_holds_to_a_schema(stories: str, capsys: Capture, tmp_path: Path) -> None:
    schema = '{"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}'
    path = tmp_path / "schema.json"
    path.write_text(schema)
    for source in (schema, str(path)):
        value = json.loads(output(capsys, "run", stories, "x", "--json-schema", source))
        assert [type(entry) for entry in value] == [bool, bool]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json-schema", "nothing.json"], "neither JSON nor a file"),
        (["--json-schema", '{"uniqueItems": true}'], "uniqueItems"),
        (["--regex", "("], "grammar is refused"),
        (["--regex", "a", "--choice", "b"], "allowed: one of them"),
    ],
    ids=str,
)
def test_run_says_what_is_wrong_with_a_grammar(
    stories: str, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert invoke(["run", stories, "x", *arguments]) != 0
    assert message in " ".join(capsys.readouterr().err.split())


def test_run_stats_go_to_stderr(stories: str, capsys: Capture) -> None:
    assert invoke(["run", stories, "Once", "-n", "8", "--seed", "9", "--stats"]) == 0
    out, err = capsys.readouterr()
    assert "tokens" not in out
    assert "output 8 tokens" in err
    assert "seed 9" in err


def test_run_reads_the_prompt_from_a_pipe(stories: str) -> None:
    command = [sys.executable, "-m", "pyslm", "run", stories, "--temperature", "0", "-n", "40"]
    for extra in ([], ["-"]):
        run = subprocess.run(
            [*command, *extra], input="Once upon a time", capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.startswith(STORY)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_conversation_on_a_terminal(stories: str) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pyslm", "run", stories, "--temperature", "0", "-n", "40"]
    environment = {**os.environ, "TERM": "dumb"}
    run = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, env=environment)
    os.write(ours, b"/help\nOnce upon a time\n/nonsense\n/exit\n")
    out = run.communicate(timeout=60)[0].decode()
    os.close(ours)
    os.close(theirs)
    assert run.returncode == 0
    assert "/clear" in out
    assert STORY in out
    assert "/nonsense: no such command" in out


def test_run_chats_where_there_is_a_template(shared: Path, tmp_path: Path, capsys: Capture) -> None:
    model = str(chat_stories(shared, tmp_path))
    options = ["--temperature", "0", "-n", "30"]
    chat = output(capsys, "run", model, "hello", *options)
    raw = output(capsys, "run", model, "hello", "--raw", *options)
    told = output(capsys, "run", model, "hello", "--system", "Be brief.", *options)
    assert len({chat, raw, told}) == 3
    with LLM(model) as llm:
        messages = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hello"},
        ]
        params = SamplingParams(temperature=0, max_tokens=30)
        assert told.rstrip("\n") == llm.chat(messages, params).text.rstrip("\n")


def test_tokenize(stories: str, capsys: Capture, tmp_path: Path) -> None:
    with LLM(stories) as llm:
        want = llm.tokenize("Lily went home")
    ids = output(capsys, "tokenize", stories, "Lily went home", "--ids").split()
    assert [int(i) for i in ids] == want
    record = json.loads(output(capsys, "tokenize", stories, "Lily went home", "--json"))
    assert record["token_ids"] == want
    assert "".join(record["tokens"][1:]).strip() == "Lily went home"
    file = tmp_path / "text.txt"
    file.write_text("Lily went home", encoding="utf-8")
    assert output(capsys, "tokenize", stories, "--file", str(file), "--ids").split() == ids
    assert len(output(capsys, "tokenize", stories, "Lily went home").splitlines()) == len(want)


def test_embed(stories: str, capsys: Capture, tmp_path: Path) -> None:
    record = json.loads(output(capsys, "embed", stories, "a cat", "a dog", "--json"))
    vectors = np.array(record["embeddings"], np.float32)
    assert vectors.shape == (2, record["dim"])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    file = tmp_path / "vectors.npy"
    assert output(capsys, "embed", stories, "a cat", "a dog", "--output", str(file)) == ""
    np.testing.assert_array_equal(np.load(file), vectors)
    assert "1.000" in output(capsys, "embed", stories, "a cat", "a dog")


def test_perplexity_by_hand(stories: str, capsys: Capture, tmp_path: Path) -> None:
    text = "Once upon a time" + STORY + " One day, Lily saw a big dog. The dog was very happy."
    file = tmp_path / "text.txt"
    file.write_text(text, encoding="utf-8")
    record = json.loads(output(capsys, "perplexity", stories, str(file), "--ctx", "16", "--json"))
    with LLM(stories, context_length=16) as llm:
        ids = llm.tokenize(text)
        windows = [ids[i : i + 16] for i in range(0, len(ids) - 15, 16)]
        scores = []
        for window in windows:
            logits = llm.logits(window).astype(np.float64)
            probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            scores += [np.log(probabilities[i - 1, window[i]]) for i in range(8, 16)]
        assert measure_perplexity(llm, text).perplexity == record["perplexity"]
    assert record["scored_tokens"] == len(scores)
    assert record["perplexity"] == pytest.approx(np.exp(-np.mean(scores)), rel=1e-6)


def test_bench(stories: str, capsys: Capture) -> None:
    arguments = ["bench", stories, *["-p", "32", "-n", "8", "-b", "1,4", "--repeat", "1"]]
    record = json.loads(output(capsys, *arguments, "--json"))
    assert record["prompt_tokens_per_second"] > 0
    assert [speed["batch"] for speed in record["decode"]] == [1, 4]
    assert all(speed["tokens_per_second"] > 0 for speed in record["decode"])
    assert all(0 < speed["bandwidth_share"] < 10 for speed in record["decode"])
    assert record["peak_rss_bytes"] > record["file_bytes"] == os.stat(stories).st_size
    assert "tokens/s" in output(capsys, *arguments)


def test_bench_says_where_the_context_is_short(stories: str, capsys: Capture) -> None:
    assert (
        invoke(["bench", stories, *["-p", "512", "-n", "4", "-b", "1", "--repeat", "1", "--json"]])
        == 0
    )
    out, err = capsys.readouterr()
    assert json.loads(out)["prompt_tokens"] == 511
    assert err.startswith("pyslm: warning: the model's context of 512 tokens")


def test_doctor(capsys: Capture) -> None:
    record = json.loads(output(capsys, "doctor", "--json"))
    kernels = record["kernels"]
    assert kernels["active"] in kernels["compiled"]
    assert kernels["active"] in kernels["supported"]
    assert record["memory"]["total_gib"] > 0
    assert kernels["active"] in output(capsys, "doctor")


def test_inspect(stories: str, capsys: Capture) -> None:
    record = json.loads(output(capsys, "inspect", stories, "--json"))
    assert record["architecture"] == "llama"
    assert "llama" in output(capsys, "inspect", stories)
    assert "token_embd.weight" in output(capsys, "inspect", stories, "--tensors")
    assert "token_embd.weight" in str(
        json.loads(output(capsys, "inspect", stories, "--json", "--tensors"))
    )


def test_quantize_and_run(stories: str, capsys: Capture, tmp_path: Path) -> None:
    small = str(tmp_path / "small.gguf")
    assert small in output(capsys, "quantize", stories, small, "Q8_0")
    assert os.stat(small).st_size < os.stat(stories).st_size / 2
    out = output(capsys, "run", small, "Once upon a time", "--temperature", "0", "-n", "40")
    assert out.startswith(", there was a little girl")
    assert invoke(["quantize", stories, small, "Q4_0"]) == 2
    assert "--force" in capsys.readouterr().err
    assert invoke(["quantize", stories, small, "Q4_0", "--force"]) == 0


def test_weight_cache(
    stories: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """A file that is large enough is stored, mapped, checked, and left alone when asked to be."""
    monkeypatch.setenv("PYSLM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("pyslm.weight_cache.LEAST_BYTES", 1)
    run = ("run", stories, "Once upon a time", "--raw", "--temperature", "0", "-n", "20")
    origins = []
    for option in ((), (), ("--no-weight-cache",)):
        assert invoke([*run, "--json", *option]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["text"].startswith(STORY[:20])
        origins.append(record["weight_cache"].split()[0])
    assert origins == ["packed;", "mapped", "packed;"]
    assert invoke([*run, "--stats"]) == 0
    assert "[weights mapped from " in capsys.readouterr().err

    (entry,) = (tmp_path / "packed").iterdir()
    (verdict,) = checked(capsys).items()
    assert verdict[0] == entry.name
    assert verdict[1].startswith("sound")
    data = bytearray(entry.read_bytes())
    data[-5000] ^= 1
    entry.write_bytes(data)
    assert "checksum" in checked(capsys)[entry.name]
    assert checked(capsys) == {}


def checked(capsys: Capture) -> dict[str, str]:
    record: dict[str, dict[str, str]] = json.loads(
        output(capsys, "doctor", "--json", "--verify-cache")
    )
    return record["packed_weights"]


@pytest.mark.parametrize("group", ["agent", "audit", "keys", "model", "service"])
def test_a_group_without_a_verb_shows_its_help_alone(
    group: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke([group]) == 2
    told = capsys.readouterr()
    assert f"Usage: pyslm {group}" in told.out
    assert not told.err
