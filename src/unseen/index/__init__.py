"""Embeddings kept, searched, grouped: the index. One SQLite file is the truth; all else is made
from it and may be thrown away."""
