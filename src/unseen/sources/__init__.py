"""A path, folder, glob, URL or iterable → a stream of named things."""
