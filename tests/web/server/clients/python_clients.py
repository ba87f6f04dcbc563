"""Clients of other projects, each a function: `python_clients.py NAME URL MODEL`, in their own
environment. It prints ok."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from itertools import pairwise

TEXTS = ["red circle", "a red circle", "blue square"]


def infinity(url: str, model: str) -> None:
    from infinity_client import Client
    from infinity_client.api.default import models
    from infinity_client.models import OpenAIModelInfo

    with Client(base_url=url) as connection:
        known = models.sync(client=connection)
    assert isinstance(known, OpenAIModelInfo), known
    assert known.data[0].id == model and known.data[0].owned_by == "infinity"
    assert known.data[0].stats["queue_absolute"] == 0


def langchain(url: str, model: str) -> None:
    from langchain_openai import OpenAIEmbeddings

    embeddings = OpenAIEmbeddings(
        base_url=f"{url}/v1", api_key="any", model=model, check_embedding_ctx_length=False
    )
    judge([*embeddings.embed_documents(TEXTS), embeddings.embed_query(TEXTS[2])])


def llama_index(url: str, model: str) -> None:
    from llama_index.embeddings.openai import OpenAIEmbedding

    embeddings = OpenAIEmbedding(api_base=f"{url}/v1", api_key="any", model_name=model)
    judge([*embeddings.get_text_embedding_batch(TEXTS), embeddings.get_query_embedding(TEXTS[2])])


def litellm(url: str, model: str) -> None:
    import litellm

    answer = litellm.embedding(
        model=f"openai/{model}",
        input=[*TEXTS, TEXTS[2]],
        api_base=f"{url}/v1",
        api_key="any",
        encoding_format="float",
    )
    judge([row["embedding"] for row in answer.data])


def judge(rows: Sequence[Sequence[float]]) -> None:
    """Of TEXTS, and its last once more."""
    assert all(abs(math.hypot(*row) - 1) < 1e-4 for row in rows)
    red, other, last = (sum(x * y for x, y in zip(a, b, strict=True)) for a, b in pairwise(rows))
    assert red > other and last > 1 - 1e-4


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
    print("ok")
