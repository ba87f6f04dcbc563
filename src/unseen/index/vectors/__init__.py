"""The vectors of an index: one matrix, derived from the database, and what is computed from it."""
