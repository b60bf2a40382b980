"""`python -m teamwork_desk.cli` is `teamwork-desk`."""

from teamwork_desk.cli import main

main()
