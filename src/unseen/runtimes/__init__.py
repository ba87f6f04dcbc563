"""Who carries the operations out; each file is the only door to its library."""
