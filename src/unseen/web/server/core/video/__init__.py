"""Files that move, and cameras, on the server."""
