"""`pyslm pull`, `list`, `show`, `rm`, `cp`, and those that talk to a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.fake_hub import FakeHub, serve
from stories import chat_stories

from pyslm import LLM
from pyslm.cli import invoke

Capture = pytest.CaptureFixture[str]
REPO = "tiny/Stories-GGUF"


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    for name in ("HF_HUB_OFFLINE", "PYSLM_HOST", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(
        f"""
        [[model]]
        name = "stories:260k"
        title = "Stories"
        aliases = ["tiny-stories"]
        repository = "{REPO}"
        file = "stories-{{quant}}.gguf"
        parameters = 260032
        variants = ["F32"]
        license = "mit"
        """
    )
    monkeypatch.setenv("PYSLM_CATALOG", str(catalog))


@pytest.fixture
def hub(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    folder = tmp_path / "source"
    folder.mkdir()
    model = chat_stories(shared, folder)
    with serve(FakeHub(files={REPO: {"stories-F32.gguf": model.read_bytes()}})) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake


def output(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.usefixtures("hub")
def test_from_pull_to_rm(capsys: Capture) -> None:
    assert "`pyslm pull stories:260k`" in refused(capsys, "run", "stories:260k", "hi")
    assert "no; pyslm pull stories:260k" in output(capsys, "show", "tiny-stories")
    pulled = json.loads(output(capsys, "pull", "stories:260k", "--json"))
    assert pulled["name"] == "stories:260k"
    assert Path(pulled["path"]).is_file()
    assert "stories:260k" in output(capsys, "list")
    assert output(capsys, "list") == output(capsys, "ls")
    (listed,) = json.loads(output(capsys, "list", "--json"))
    assert listed == pulled
    assert json.loads(output(capsys, "list", "nothing", "--json")) == []
    told = output(capsys, "run", "stories:260k", "hello", "-n", "4", "--temperature", "0")
    assert told == output(capsys, "run", pulled["path"], "hello", "-n", "4", "--temperature", "0")
    with LLM("tiny-stories") as llm:
        assert str(llm.info.path) == pulled["path"]
    output(capsys, "cp", "tiny-stories", "mine")
    assert "deleted 'stories:260k'" in output(capsys, "rm", "stories:260k")
    shown = output(capsys, "show", "mine")
    assert "260,032" in shown
    assert "512 tokens" in shown
    assert "deleted 'mine'" in output(capsys, "model", "remove", "mine")
    assert not Path(pulled["path"]).exists()
    assert json.loads(output(capsys, "model", "ls", "--json")) == []


def test_show_says_which_variant_and_why(capsys: Capture) -> None:
    out = output(capsys, "show", "qwen2.5:0.5b")
    assert "Q8_0" in out
    assert "chosen" in out
    assert "GiB free" in " ".join(out.split())
    record = json.loads(output(capsys, "show", "qwen2.5:0.5b", "--json"))
    assert record["chosen"] in {each["variant"]["quant"] for each in record["variants"]}
    assert record["here"] is None
    names = json.loads(output(capsys, "list", "--catalog", "--json", "qwen2.5:"))
    assert {model["name"] for model in names} >= {"qwen2.5:0.5b", "qwen2.5:7b"}
    assert "phi-4-mini" in output(capsys, "list", "--catalog")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull", "../x"],
        ["pull", "nothing-known"],
        ["show", "nothing-known"],
        ["show", "a b"],
        ["rm", "qwen2.5:0.5b"],
        ["cp", "qwen2.5:0.5b", "mine"],
        ["cp", "absent.gguf", "mine"],
        ["run", "a/b/c/d"],
        ["run", "nothing-known"],
        ["serve", "nothing-known"],
        ["ps", "--url", "http://127.0.0.1:9"],
        ["load", "x", "--url", "127.0.0.1:9"],
        ["stop", "x", "--url", "not a url"],
        ["service", "ps"],
    ],
    ids=" ".join,
)
def test_bad_input_is_told_in_one_line(capsys: Capture, arguments: list[str]) -> None:
    assert refused(capsys, *arguments).startswith("pyslm: error: ")


@pytest.mark.usefixtures("hub")
def test_verbs_that_ask_the_service(capsys: Capture) -> None:
    output(capsys, "pull", "stories:260k")
    try:
        output(capsys, "service", "start")
        assert json.loads(output(capsys, "ps", "--json")) == []
        output(capsys, "load", "tiny-stories", "--keep-alive", "-1")
        (loaded,) = json.loads(output(capsys, "ps", "--json"))
        assert loaded["name"] == "stories:260k"
        assert "for ever" in output(capsys, "ps")
        output(capsys, "stop", "stories:260k")
        assert json.loads(output(capsys, "ps", "--json")) == []
        assert "nothing-known" in refused(capsys, "load", "nothing-known")
    finally:
        assert invoke(["service", "stop"]) == 0
