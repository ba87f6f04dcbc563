"""What holds many pictures: archives, tables, documents, object stores."""
