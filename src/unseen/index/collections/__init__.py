"""Pictures of an index that are no files of its folder: in archives, tables, documents, stores."""
