"""Where images come from: paths, folders, globs, archives and URLs as named items."""
