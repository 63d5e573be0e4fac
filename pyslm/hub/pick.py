"""Which file of a repository is meant."""

from __future__ import annotations

from pyslm.errors import DownloadError, ModelNotFoundError
from pyslm.hub.catalog import CatalogModel, Variant
from pyslm.hub.choice import Hardware, choose_variant
from pyslm.hub.hf_cache import CachedFile, cached_files
from pyslm.hub.hf_download import RemoteFile
from pyslm.hub.quants import canonical_quant, quality, quant_of_file

__all__ = ["pick_cached", "pick_remote"]


def pick_cached(
    repo: str, quant: str | None, model: CatalogModel | None = None
) -> CachedFile | None:
    """The file that is here; without a quantization the one that suits this machine."""
    cached = [file for file in cached_files(repo) if fits(file.file, quant)]
    if model is not None:
        cached = [file for file in cached if _is_of(file.file, model)] or cached
    if len(cached) < 2:
        return cached[0] if cached else None
    variants = [Variant(f.quant or "", f.size_bytes, True, f.file) for f in cached]
    try:
        best = choose_variant(variants, model.parameters if model else 0, Hardware.here())
    except ModelNotFoundError:  # of formats that we do not know
        return cached[0]
    return next(file for file in cached if file.file == best.variant.file)


def pick_remote(
    files: list[RemoteFile],
    repo: str,
    quant: str | None,
    model: CatalogModel | None,
) -> RemoteFile:
    """The file to download.

    Raises:
        DownloadError: there is none; says what there is.
    """
    if not files:
        raise DownloadError(f"{repo} has no GGUF file; pyslm runs no others")
    meant = [f for f in files if fits(f.file, quant)]
    if model is not None and repo == model.repository:  # among several models, this one's
        own = [f for f in meant if f.quant and _is_of(f.file, model)]
        meant = own or meant
    whole = [f for f in meant if not f.is_split]
    if not whole:
        kinds = sorted({f.quant or f.file for f in files if not f.is_split}, key=quality)
        what = (
            f"{quant or 'each model'} of {repo} is split into several files"
            if meant
            else (f"{repo} has no {quant}")
        )
        raise DownloadError(f"{what}; in one file it has: {', '.join(kinds) or 'none'}")
    if len(whole) == 1:
        return whole[0]
    variants = [Variant(f.quant or "", f.size_bytes, True, f.file) for f in whole]
    choice = choose_variant(variants, model.parameters if model else 0, Hardware.here())
    return next(f for f in whole if f.file == choice.variant.file)


def _is_of(file: str, model: CatalogModel) -> bool:
    stem, _, rest = model.file.lower().partition("{quant}")
    base = file.rsplit("/", 1)[-1].lower()
    return base.startswith(stem) and base.endswith(rest)


def fits(file: str, wanted: str | None) -> bool:
    """Whether a file is the one meant by a quantization or by its own name."""
    if wanted is None or wanted.lower() == "latest":
        return True
    base = file.rsplit("/", 1)[-1].lower()
    return base == wanted.lower() or quant_of_file(file) == canonical_quant(wanted)
