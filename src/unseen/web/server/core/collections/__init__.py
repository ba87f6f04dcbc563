"""The pictures that a server's gallery shows and searches: an index, or a table of PostgreSQL."""
