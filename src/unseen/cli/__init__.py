"""The command line: thin clients of the library, the only place that prints or exits."""
