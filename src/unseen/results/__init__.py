"""What runs leave in files: records, manifests, vectors, and how two runs differ."""
