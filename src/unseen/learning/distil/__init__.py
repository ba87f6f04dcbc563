"""A small classifier taught by a large one, and by a person: `unseen distil`."""
