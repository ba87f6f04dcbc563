"""The command line: thin clients of the library, the only place that prints or exits."""

# That of unseen.encode, which --help must not wait for; a test holds them together.
BATCH_SIZE = 16
