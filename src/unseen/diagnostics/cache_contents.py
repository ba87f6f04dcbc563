"""What lies under `$UNSEEN_HOME`, how large it is, and how it is deleted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.system import cache, embedding_cache, prompt_cache


@dataclass(frozen=True)
class CachePart:
    """One thing that is kept: its name, how many there are of it, and their bytes."""

    name: str
    count: int
    bytes: int


@dataclass(frozen=True)
class CacheContents:
    """What is kept; `str` is the report for people. `limit`: bytes that the embeddings may take."""

    home: Path
    parts: tuple[CachePart, ...]
    limit: int

    def __str__(self) -> str:
        lines = [f"{self.home}; may be deleted at any time"]
        for part in self.parts:
            most = f" of at most {self.limit / 1e6:,.0f}" if part.name == PICTURES else ""
            lines.append(f"  {part.count:>9,} {part.name:<20}{part.bytes / 1e6:>9,.1f}{most} MB")
        if not self.limit:
            lines.append(f"  {embedding_cache.LIMIT} is 0: embeddings of pictures are not cached")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        parts = {part.name: {"count": part.count, "bytes": part.bytes} for part in self.parts}
        return {"home": str(self.home), "limit": self.limit, "parts": parts}


PICTURES, PROMPTS, NETWORKS = "pictures", "prompts", "compiled networks"


def cache_contents() -> CacheContents:
    """What is cached on this machine.

    Returns
    -------
    CacheContents
        The embeddings of pictures and of prompts, and the networks that were compiled.
    """
    home = cache.home()
    pictures = embedding_cache.contents()
    prompts = prompt_cache.VectorCache()
    networks = home / "networks"
    compiled = {path.parent for path in networks.glob("[!.]*/*.onnx")}  # others hold checks alone
    return CacheContents(
        home,
        (
            CachePart(PICTURES, pictures.embeddings, pictures.bytes),
            CachePart(PROMPTS, prompts.count(), prompts.bytes()),
            CachePart(NETWORKS, len(compiled), cache.size_of(networks)),
        ),
        pictures.limit,
    )


def clear_cache(*, networks: bool = False) -> int:
    """Delete the embeddings of pictures and prompts; they are made again when they are needed.

    Parameters
    ----------
    networks : bool
        Delete the compiled networks as well, which take seconds to make again.

    Returns
    -------
    int
        How many bytes were freed.
    """
    before = cache.size_of(cache.home())
    embedding_cache.delete()
    prompt_cache.VectorCache().delete()
    for folder in (cache.home() / "networks").glob("[!.]*"):
        if networks:
            cache.remove(folder.name)
    return max(before - cache.size_of(cache.home()), 0)
