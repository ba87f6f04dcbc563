"""`python -m unseen`."""

from unseen.cli.app import main

main()
