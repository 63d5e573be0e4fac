"""`LLM` at its limits, and what it says of bad input. (contract A2, A3)"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from stories import LONG_CONTEXT, PROMPT, STORY, chat_stories, long_stories

import pyslm
from pyslm import LLM, SamplingParams

GREEDY = SamplingParams(max_tokens=40, temperature=0)


def test_prompt_longer_than_the_context(path: Path) -> None:
    with LLM(path, context_length=32) as llm:
        ids = [1] * 32
        for call in (llm.generate, llm.stream):
            with pytest.raises(pyslm.ContextLengthError, match=r"32 tokens .* holds 32"):
                call(ids)
        with pytest.raises(pyslm.ContextLengthError, match="33 tokens"):
            llm.logits([1] * 33)
        with pytest.raises(pyslm.ContextLengthError):
            llm.embed("word " * 100)
        assert llm.logits(ids).shape[0] == 32


def test_output_ends_where_the_context_does(path: Path) -> None:
    with LLM(path, context_length=32) as llm:
        result = llm.generate([1] * 20, SamplingParams(max_tokens=100, ignore_eos=True, seed=1))
    assert result.finish_reason == "length"
    assert result.usage.total_tokens == 32


def test_a_failing_request_of_a_list_takes_the_others_out(llm: LLM) -> None:
    with pytest.raises(pyslm.ContextLengthError):
        llm.generate([PROMPT, "x" * 100_000], GREEDY)
    assert llm.generate(PROMPT, GREEDY).text.startswith(STORY)


@pytest.mark.parametrize("prompt", ["", [], [512], [-1], [1.5], b"abc", None, 5, [None], [[]]])
def test_bad_prompts(llm: LLM, prompt: Any) -> None:
    if prompt == []:
        assert llm.generate(prompt) == []
        return
    if prompt == "" and llm.tokenize(""):  # the start token alone is a prompt
        prompt = [[]]
    with pytest.raises(pyslm.InvalidRequestError):
        llm.generate(prompt)


def test_a_lone_surrogate_is_refused(llm: LLM) -> None:
    with pytest.raises(pyslm.PyslmError, match="surrogate"):
        llm.generate("a\ud800b")


def test_one_param_each(llm: LLM) -> None:
    with pytest.raises(pyslm.InvalidRequestError, match="2 entries for 1 prompts"):
        llm.generate([PROMPT], [GREEDY, GREEDY])


def test_chat(shared: Path, tmp_path: Path) -> None:
    with LLM(chat_stories(shared, tmp_path)) as llm:
        assert llm.info.has_chat_template
        messages = [{"role": "user", "content": "</s>tell me"}]
        text = "user: </s>tell me\n" + PROMPT
        ids = llm.encode_chat(messages)
        eos = llm.tokenize("</s>", add_special_tokens=False, parse_special=True)
        assert len(eos) == 1
        assert eos[0] not in ids, "what a user says became a control token"
        assert llm.detokenize(ids).strip() == text
        result = llm.chat(messages, GREEDY)
        assert result.text == llm.generate(ids, GREEDY).text
        assert "".join(c.text for c in llm.chat_stream(messages, GREEDY)) == result.text
        assert llm.encode_chat(messages, add_generation_prompt=False) != ids


def test_no_chat_template(llm: LLM) -> None:
    assert not llm.info.has_chat_template
    with pytest.raises(pyslm.ChatTemplateError, match="no chat template"):
        llm.chat([{"role": "user", "content": "hi"}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "tpu"}, "backend is 'tpu'; allowed: auto, cpu"),
        ({"kv_type": "f64"}, "kv_type is 'f64'; allowed: f16, bf16, q8_0"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": -1}, "threads is -1"),
        ({"threads": "2"}, "threads is '2'"),
        ({"context_length": -5}, "context_length is -5"),
        ({"max_sequences": 0}, "max_sequences is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_bad_options(path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(pyslm.InvalidRequestError, match=message):
        LLM(path, **options)


@pytest.mark.parametrize("option", [{"gpu_layers": 3}, {"memory_lock": True}, {"numa": True}])
def test_options_without_effect_warn(path: Path, option: dict[str, Any]) -> None:
    with pytest.warns(RuntimeWarning, match=f"{next(iter(option))}=.* has no effect") as caught:
        LLM(path, **option).close()
    assert caught[0].filename == __file__


def test_bad_paths(tmp_path: Path, shared: Path) -> None:
    with pytest.raises(pyslm.ModelNotFoundError, match="no such file"):
        LLM(tmp_path / "absent.gguf")
    with pytest.raises(pyslm.ModelFileError, match="is a directory"):
        LLM(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(pyslm.ModelFileError, match="not a regular file"):
            LLM(tmp_path / "pipe")
    other = tmp_path / "other.gguf"
    other.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(pyslm.GGUFError, match="not a GGUF file"):
        LLM(other)
    with pytest.raises(pyslm.PyslmError):  # a vocabulary without weights
        LLM(shared / "vocab" / "ggml-vocab-qwen2.gguf")


def test_close(path: Path) -> None:
    llm = LLM(path)
    stream = llm.stream(PROMPT)
    llm.close()
    llm.close()
    for use in (lambda: llm.generate(PROMPT), lambda: next(stream), lambda: llm.logits([1])):
        with pytest.raises(pyslm.EngineError, match="closed"):
            use()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_stops_and_leaves_the_model_usable(shared: Path, tmp_path: Path) -> None:
    path = long_stories(shared, tmp_path)
    code = f"""
        import signal
        from pyslm import LLM, SamplingParams
        # Whoever starts the tests in the background has it ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        llm = LLM({str(path)!r}, context_length={LONG_CONTEXT})
        params = SamplingParams(max_tokens=90_000, ignore_eos=True, seed=1)
        try:
            print("ready", flush=True)
            llm.generate([[1, 2, 3]] * 4, params)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(llm.generate("Once upon a time", SamplingParams(max_tokens=5, temperature=0)).text)
        print(llm._host.loop.engine.stats().num_running)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.3)
        os.kill(run.pid, signal.SIGINT)
        since = time.monotonic()
        assert run.stdout.readline() == "interrupted\n"
        assert time.monotonic() - since < 5
        assert STORY.startswith(run.stdout.readline().rstrip("\n"))
        assert run.stdout.readline() == "0\n"
        assert run.wait(30) == 0
