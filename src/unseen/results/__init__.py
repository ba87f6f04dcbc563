"""What runs leave in files: records, manifests, vectors, and how two runs differ."""

from unseen.results.records import read
from unseen.results.result_file import write

__all__ = ["read", "write"]
