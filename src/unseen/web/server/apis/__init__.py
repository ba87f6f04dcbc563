"""The routes: our own API, and a file for each foreign one."""
