"""The files of an exported web app, as templates."""
