"""One file a command: it declares options, calls the library, shows the result."""
