"""Pictures in PostgreSQL with pgvector: a table of rows with embeddings, filled and searched."""
