"""A checkpoint's weights as named arrays: which files hold them, how these are read, our names."""
