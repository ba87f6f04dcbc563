"""The HTTP server: docs/serve.md. `app` joins the files below it; only they import FastAPI."""
