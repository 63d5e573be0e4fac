"""Downloads: whole, verified, resumed, or not at all."""

from __future__ import annotations

import asyncio
import collections
import errno
import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hub.fake_hub import COMMIT, FakeHub

from pyslm.errors import DownloadError, ModelNotDownloadedError, ModelNotFoundError
from pyslm.hub import ModelStore, PullProgress, pull_events, resolve

REPO = "Qwen/Qwen2.5-0.5B-Instruct-GGUF"
FILE = "qwen2.5-0.5b-instruct-q4_k_m.gguf"
NAME = "qwen2.5:0.5b-instruct-q4_K_M"


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub waits a second between its attempts, and writes 10 MB at a time."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)


def visible(tmp_path: Path) -> list[Path]:
    """What anybody could take for a model."""
    return [p for p in tmp_path.rglob("*.gguf") if p.is_file()]


def test_a_pull_brings_the_file_and_the_name(hub: FakeHub, store: ModelStore) -> None:
    with pytest.raises(ModelNotDownloadedError, match=f"pyslm pull {NAME}"):
        store.find(NAME)
    assert hub.requests == []  # nothing is asked of the network unasked
    told: list[PullProgress] = []
    pulled = store.pull(NAME, told.append)
    assert pulled.path.read_bytes() == hub.files[REPO][FILE]
    assert pulled.digest == hashlib.sha256(hub.files[REPO][FILE]).hexdigest()
    assert pulled.name == NAME
    assert resolve(NAME) == pulled.path
    assert resolve("qwen2.5:0.5b") == pulled.path  # what is here will do
    assert resolve(f"hf:{REPO}:Q4_K_M") == pulled.path
    assert [model.name for model in store.list()] == [NAME]
    statuses = list(dict.fromkeys(progress.status for progress in told))
    assert statuses == ["resolving", "downloading", "verifying", "writing", "success"]
    done = [progress.done_bytes for progress in told if progress.status == "downloading"]
    assert done == sorted(done)
    assert done[-1] == len(hub.files[REPO][FILE])


def test_what_is_here_will_do_without_a_hub(
    hub: FakeHub, store: ModelStore, caplog: pytest.LogCaptureFixture
) -> None:
    pulled = store.pull(NAME)
    hub.status = 503
    told: list[PullProgress] = []
    assert store.pull(NAME, told.append) == pulled
    assert [progress.status for progress in told] == ["resolving", "success"]
    assert f"{NAME} is here and stays as it is" in caplog.text
    with pytest.raises(DownloadError):
        store.pull(NAME, force=True)
    with pytest.raises(DownloadError):
        store.pull("qwen2.5:0.5b-instruct-q8_0")
    own = store.copy(NAME, "known-to-nobody-else")
    assert store.pull("known-to-nobody-else") == own


def test_huggingface_hub_finds_what_we_put_in_its_cache(hub: FakeHub, store: ModelStore) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    pulled = store.pull(NAME)
    cache = os.environ["HF_HUB_CACHE"]
    assert try_to_load_from_cache(REPO, FILE, cache_dir=cache) == str(pulled.path)
    found = scan_cache_dir(cache)
    assert [str(warning) for warning in found.warnings] == []
    (repo,) = found.repos
    (revision,) = repo.revisions
    assert (repo.repo_id, revision.commit_hash) == (REPO, COMMIT)
    assert revision.refs == {"main"}
    assert len(hub.gets()) == 1


def test_what_is_here_is_not_fetched_again(hub: FakeHub, store: ModelStore) -> None:
    store.pull(NAME)
    store.pull("qwen2.5-0.5b:q4_k_m")
    assert len(hub.gets()) == 1
    assert {model.name for model in store.list()} == {NAME, "qwen2.5-0.5b:q4_k_m"}
    store.pull(NAME, force=True)
    assert len(hub.gets()) == 2


def test_an_answer_that_is_cut_is_taken_up_where_it_ended(hub: FakeHub, store: ModelStore) -> None:
    hub.cut_after, hub.cuts = 300_000, 2
    pulled = store.pull(NAME)
    assert pulled.path.read_bytes() == hub.files[REPO][FILE]
    assert [asked.partition("-")[0] for asked in hub.gets() if asked] == [
        "bytes=300000",
        "bytes=600000",
    ]


def test_a_pull_that_was_ended_is_resumed_by_the_next(
    hub: FakeHub, store: ModelStore, tmp_path: Path
) -> None:
    """A process that is killed leaves a part, which nobody takes for a model."""
    hub.cut_after = 400_000
    script = (
        "import os, signal; from pyslm.hub import ModelStore\n"
        "import huggingface_hub.file_download as f\n"
        "f.constants.DOWNLOAD_CHUNK_SIZE = 100_000\n"
        "f.time.sleep = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"ModelStore().pull({NAME!r})"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr
    assert visible(tmp_path) == []
    assert store.list() == []
    hub.cut_after = None
    hub.requests.clear()
    assert store.pull(NAME).path.read_bytes() == hub.files[REPO][FILE]
    assert hub.gets() == ["bytes=400000-"]
    assert list(tmp_path.rglob("*.incomplete")) == []


def test_two_pulls_at_once_fetch_it_once(hub: FakeHub, store: ModelStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        pulled = list(pool.map(store.pull, [NAME, "qwen2.5:0.5b-q4_k_m", NAME, NAME]))
    assert {model.path.read_bytes() for model in pulled} == {hub.files[REPO][FILE]}
    assert len(hub.gets()) == 1


def test_a_server_without_ranges_starts_anew(hub: FakeHub, store: ModelStore) -> None:
    hub.cut_after, hub.cuts, hub.ignores_range = 300_000, 1, True
    assert store.pull(NAME).path.read_bytes() == hub.files[REPO][FILE]


@pytest.mark.parametrize("fault", ["wrong_sha", "flips_a_bit"])
def test_wrong_bytes_are_never_a_model(
    hub: FakeHub, store: ModelStore, tmp_path: Path, fault: str
) -> None:
    setattr(hub, fault, True)
    with pytest.raises(DownloadError, match="SHA-256"):
        store.pull(NAME)
    assert visible(tmp_path) == []
    assert store.list() == []
    assert list(tmp_path.rglob("*.incomplete")) == []
    setattr(hub, fault, False)
    assert store.pull(NAME).path.read_bytes() == hub.files[REPO][FILE]


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (401, "RepoNotFound", ModelNotFoundError, "HF_TOKEN"),
        (404, "RepoNotFound", ModelNotFoundError, "no repository"),
        (403, "GatedRepo", DownloadError, "gated"),
        (500, None, DownloadError, "500"),
    ],
)
def test_refusals_are_told(
    hub: FakeHub,
    store: ModelStore,
    status: int,
    code: str | None,
    kind: type[Exception],
    told: str,
) -> None:
    hub.status, hub.error_code = status, code
    with pytest.raises(kind, match=told):
        store.pull(NAME)


def test_no_hub_at_all(store: ModelStore) -> None:
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9"):
        store.pull(NAME)


def test_offline_means_offline(
    hub: FakeHub, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE"):
        store.pull(NAME)
    assert hub.requests == []


def test_a_full_disk_is_told_before_and_while(
    hub: FakeHub, store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = collections.namedtuple("usage", "total used free")(1 << 30, 1 << 30, 1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(DownloadError, match="make room"):
            store.pull(NAME)
        assert hub.gets() == []

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        with pytest.raises(DownloadError, match="disk is full"):
            store.pull(NAME)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("file", ["../../x.gguf", "a/../../x.gguf", "/etc/x.gguf", "a\nb.gguf"])
def test_a_hostile_listing_writes_nothing(
    hub: FakeHub, store: ModelStore, tmp_path: Path, file: str
) -> None:
    lfs = {"sha256": "0" * 64, "size": 8, "pointerSize": 1}
    siblings = [{"rfilename": file, "size": 8, "lfs": lfs}]
    hub.listing = {"_id": "1", "id": REPO, "sha": COMMIT, "siblings": siblings}
    with pytest.raises(DownloadError, match="refused"):
        store.pull(f"hf:{REPO}")
    assert visible(tmp_path) == []
    assert hub.gets() == []


def test_a_file_that_is_longer_than_told(hub: FakeHub, store: ModelStore) -> None:
    lfs = {"sha256": "0" * 64, "size": 1000, "pointerSize": 1}
    siblings = [{"rfilename": FILE, "size": 1000, "lfs": lfs}]
    hub.listing = {"_id": "1", "id": REPO, "sha": COMMIT, "siblings": siblings}
    with pytest.raises(DownloadError):
        store.pull(NAME)


def test_split_models_are_refused_with_what_there_is(hub: FakeHub, store: ModelStore) -> None:
    files = {f"big-q8_0-0000{i}-of-00002.gguf": b"GGUF" for i in (1, 2)}
    hub.files["a/big"] = {**files, "big-q4_0.gguf": b"GGUFwhole"}
    with pytest.raises(DownloadError, match=r"split.*Q4_0"):
        store.pull("hf:a/big:Q8_0")
    with pytest.raises(DownloadError, match=r"no Q6_K.*Q4_0"):
        store.pull("hf:a/big:Q6_K")
    assert store.pull("hf:a/big").path.read_bytes() == b"GGUFwhole"


def test_names_nobody_knows(hub: FakeHub, store: ModelStore) -> None:
    with pytest.raises(ModelNotFoundError, match=r"did you mean qwen2\.5"):
        store.pull("qwen2.5-05b")
    with pytest.raises(ModelNotFoundError, match="no repository"):
        store.pull("hf:nobody/nothing")
    assert hub.gets() == []


@pytest.mark.usefixtures("hub")
def test_events_for_an_event_loop(store: ModelStore) -> None:
    async def pull() -> list[PullProgress]:
        return [progress async for progress in pull_events(store, NAME)]

    told = asyncio.run(pull())
    assert told[-1].status == "success"
    assert told[-1].model == store.find(NAME)

    async def fail() -> None:
        async for _ in pull_events(store, "hf:nobody/nothing"):
            pass

    with pytest.raises(ModelNotFoundError):
        asyncio.run(fail())


@pytest.mark.usefixtures("hub")
def test_leaving_the_events_stops_the_download(store: ModelStore, tmp_path: Path) -> None:
    async def leave() -> None:
        events = pull_events(store, NAME)
        async for progress in events:
            if progress.status == "downloading":
                break
        await events.aclose()

    asyncio.run(leave())
    assert store.list() == []
    assert visible(tmp_path) == []
