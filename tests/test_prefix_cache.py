"""The prefix cache over real models: to the bit, in the process and through a file.

Contract D1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stories import stories

import pyslm
from pyslm import LLM, SamplingParams, errors
from pyslm.request import GenerationResult

VOCAB = 512
# Full attention; windows of 64 with soft caps, and with two ropes; long-rope factors.
SHAPES = ["tiny-llama", "tiny-gemma2", "tiny-gemma3", "tiny-phi4"]
KV_TYPES = ["f16", "bf16", "q8_0"]
MakeModel = Callable[[str], Path]


@pytest.fixture(scope="module")
def make_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    folder = tmp_path_factory.mktemp("models")

    def make(shape: str) -> Path:
        target = folder / f"{shape}.gguf"
        if shape == "stories260K":
            return stories(shared)
        if not target.exists():
            script = shared / "tools" / "make_model.py"
            options = ["--vocab", stories(shared), "--type", "q8_0", "--std", "0.06"]
            command = [sys.executable, script, shape, target, *options]
            subprocess.run([str(part) for part in command], check=True, timeout=120)
        return target

    return make


def ids(n: int, seed: int = 0) -> list[int]:
    numbers = np.random.default_rng([n, seed]).integers(3, VOCAB, n)
    return [int(number) for number in numbers]


def open_model(path: Path, **settings: Any) -> LLM:
    return LLM(path, **{"threads": 1, "context_length": 512, "max_sequences": 4, **settings})


PARAMS = SamplingParams(max_tokens=12, seed=7, logprobs=20, ignore_eos=True)


def same(result: GenerationResult, expected: GenerationResult) -> bool:
    """Tokens, and the log-probabilities of the 20 most likely ones to the bit."""
    return (result.token_ids, result.logprobs) == (expected.token_ids, expected.logprobs)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("shape", ["stories260K", *SHAPES])
def test_a_hit_changes_no_bit(make_model: MakeModel, shape: str, kv_type: str) -> None:
    prompts = [ids(300), [*ids(300)[:200], *ids(90, 1)], ids(300)[:97], ids(300)]
    with open_model(make_model(shape), kv_type=kv_type, prefix_caching=False) as plain:
        expected = [plain.generate(prompt, PARAMS) for prompt in prompts]
    with open_model(make_model(shape), kv_type=kv_type) as cached:
        results = [cached.generate(prompt, PARAMS) for prompt in prompts]
        # At a branch, a window needs blocks that it has let go of by then, unless they survive.
        assert [r.usage.cached_tokens for r in results] == [0, 192, 96, 288]
        assert all(map(same, results, expected))
        together = cached.generate(prompts, PARAMS)
        assert all(map(same, together, expected))
        cached.trim()
        assert cached.generate(prompts[0], PARAMS).usage.cached_tokens == 0
    assert [r.usage.cached_tokens for r in expected] == [0] * 4


def test_n_equal_prompts_at_once_share(make_model: MakeModel) -> None:
    with open_model(make_model("tiny-llama")) as llm:
        results = llm.generate([ids(200)] * 4, PARAMS)
    assert [r.usage.cached_tokens for r in results] == [0, 192, 192, 192]
    assert all(same(result, results[0]) for result in results)


@pytest.mark.parametrize("kv_type", KV_TYPES)
@pytest.mark.parametrize("shape", ["stories260K", "tiny-gemma3"])
def test_saved_and_loaded_changes_no_bit(
    make_model: MakeModel, shape: str, kv_type: str, tmp_path: Path
) -> None:
    saved = tmp_path / "cache"
    with open_model(make_model(shape), kv_type=kv_type) as first:
        expected = first.generate(ids(300), PARAMS)
        first.generate(ids(200, 5), PARAMS.replace(cache_salt="secret"))
        first.save_prefix_cache(saved)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["cache"]
    with open_model(make_model(shape), kv_type=kv_type, prefix_cache=saved) as second:
        result = second.generate(ids(300), PARAMS)
        assert result.usage.cached_tokens == 288
        assert same(result, expected)
        assert second.generate(ids(200, 5), PARAMS).usage.cached_tokens == 0


@pytest.fixture(scope="module")
def saved(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "cache"
    with open_model(stories(shared)) as llm:
        llm.generate(ids(300), PARAMS)
        llm.save_prefix_cache(path)
    return path


def copy_of(saved: Path, folder: Path, data: bytes | None = None) -> Path:
    copy = folder / "copy"
    copy.touch(mode=0o600)
    copy.write_bytes(saved.read_bytes() if data is None else data)
    return copy


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"kv_type": "q8_0"}, r"kv_type 'f16', and here it is 'q8_0'"),
        ({"context_length": 256}, r"context_length 512, and here it is 256"),
    ],
)
def test_other_settings_are_refused(
    shared: Path, saved: Path, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(errors.PrefixCacheError, match=reason):
        open_model(stories(shared), **settings, prefix_cache=saved)


def test_another_isa_is_refused(shared: Path, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_ISA", "scalar")
    with pytest.raises(errors.PrefixCacheError, match=r"isa .* here it is 'scalar'"):
        open_model(stories(shared), prefix_cache=saved)


def test_the_same_model_elsewhere_will_do_and_a_changed_one_not(
    shared: Path, saved: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(stories(shared).read_bytes())
    with open_model(model, prefix_cache=saved) as llm:
        assert llm.generate(ids(300), PARAMS).usage.cached_tokens == 288
    changed = bytearray(model.read_bytes())
    changed[-8] ^= 1
    model.write_bytes(changed)
    with pytest.raises(errors.PrefixCacheError, match="another model"):
        open_model(model, prefix_cache=saved)


def test_damage_anywhere_is_found(shared: Path, saved: Path, tmp_path: Path) -> None:
    data = saved.read_bytes()
    spots = [0, 9, 40, len(data) // 3, len(data) // 2, len(data) - 40, len(data) - 1]
    for spot in spots:
        broken = bytearray(data)
        broken[spot] ^= 4
        with pytest.raises(errors.PrefixCacheError):
            open_model(stories(shared), prefix_cache=copy_of(saved, tmp_path, bytes(broken)))
    for length in (0, 7, 30, 500, len(data) // 2, len(data) - 1):
        with pytest.raises(errors.PrefixCacheError, match=r"damaged|no prefix cache"):
            open_model(stories(shared), prefix_cache=copy_of(saved, tmp_path, data[:length]))
    with pytest.raises(errors.PrefixCacheError, match="checksum"):
        open_model(stories(shared), prefix_cache=copy_of(saved, tmp_path, data + b"x"))


def test_only_an_own_regular_private_file_is_read(
    shared: Path, saved: Path, tmp_path: Path
) -> None:
    def refused(path: Path, reason: str) -> None:
        with pytest.raises(errors.PrefixCacheError, match=reason):
            open_model(stories(shared), prefix_cache=path)

    copy = copy_of(saved, tmp_path)
    copy.chmod(0o644)
    refused(copy, "mode is 644")
    copy.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(copy)
    refused(link, "cannot open")
    refused(tmp_path / "missing", "cannot open")
    refused(tmp_path, "not a regular file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(tmp_path / "pipe", "not a regular file")


def test_saving_where_one_cannot_is_an_error_and_leaves_nothing(
    shared: Path, tmp_path: Path
) -> None:
    with open_model(stories(shared)) as llm, pytest.raises(errors.ModelFileError):
        llm.save_prefix_cache(tmp_path / "no" / "such")
    assert not list(tmp_path.iterdir())


def test_memory_stays_within_its_budget(make_model: MakeModel) -> None:
    path = make_model("tiny-llama")
    with open_model(path) as llm:
        info = llm.info
    per_token = info.kv_bytes_per_token
    with open_model(path, kv_memory=600 * per_token) as llm:
        assert 560 * per_token < llm.info.kv_bytes <= 600 * per_token
        results = llm.generate([ids(280, i) for i in range(4)], PARAMS)  # two at a time
        assert all(len(r.token_ids) == 12 for r in results)
    with open_model(path, kv_memory=9000 * per_token) as llm:  # beyond 4 contexts of 512
        assert llm.info.kv_bytes > 8900 * per_token
    with pytest.raises(errors.InvalidRequestError, match=r"hold 480 tokens; a context of 512"):
        open_model(path, kv_memory=500 * per_token)


def test_full_queue_is_a_typed_error(shared: Path) -> None:
    with open_model(stories(shared), max_sequences=1, max_queued=2) as llm:
        streams = [llm.stream(ids(20), PARAMS) for _ in range(3)]
        with pytest.raises(errors.QueueFullError, match="1 that run and 2 that wait"):
            llm.generate(ids(20), PARAMS)
        assert issubclass(errors.QueueFullError, errors.EngineError)
        streams.pop().close()
        assert len(llm.generate(ids(20), PARAMS).token_ids) == 12


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_resident_memory_grows_with_use_and_goes_back(make_model: MakeModel) -> None:
    """In a process of its own, whose memory nothing else moves."""
    script = """
        import resource, sys
        from pyslm import LLM, SamplingParams

        def mebibytes():
            pages = int(open("/proc/self/statm").read().split()[1])
            return pages * resource.getpagesize() / 2**20

        caching = sys.argv[2] == "caching"
        llm = LLM(sys.argv[1], context_length=2048, max_sequences=8, threads=2, batch_size=256,
                  prefix_caching=caching)
        params = SamplingParams(max_tokens=40, temperature=0, ignore_eos=True)
        llm.generate([[3] * 40] * 8, params)
        llm.trim()
        start = mebibytes()
        prompts = [[3 + i] * 1800 for i in range(6)]
        used = 6 * 1800 * llm.info.kv_bytes_per_token / 2**20
        streams = [llm.stream(prompt, params) for prompt in prompts]
        for stream in streams:
            next(stream)
        full = mebibytes() - start
        for stream in streams:
            list(stream)
        idle = mebibytes() - start
        llm.trim()
        print(used, llm.info.kv_bytes / 2**20, full, idle, mebibytes() - start)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(pyslm.__file__).parents[1])}
    for mode in ("caching", "plain"):
        output = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(make_model("tiny-llama")), mode],
            capture_output=True, text=True, check=True, timeout=240, env=environment,
        ).stdout  # fmt: skip
        used, reserved, full, idle, trimmed = map(float, output.split())
        assert reserved > 1.3 * used  # room for 8 contexts, of which 5 are used
        assert 0.9 * used < full < 1.25 * used
        if mode == "caching":
            assert 0.9 * used < idle < 1.25 * used
        else:
            assert idle < 0.15 * used
        assert trimmed < 0.15 * used
