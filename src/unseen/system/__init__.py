"""The ground: files that are kept, locks, SQLite, processors."""
