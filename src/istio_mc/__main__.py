"""`python -m istio_mc`."""

from istio_mc.cli.app import main

main()
