"""The HTTP server and the review page."""
