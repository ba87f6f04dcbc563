"""A classifier as a file or a folder that runs without unseen."""
