"""`python -m buildext` is the command line."""

from buildext.cli.main import main

main()
