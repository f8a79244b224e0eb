"""Run the command line as ``python -m retq_hub.cli``."""

from retq_hub.cli.app import main

__all__: list[str] = []

main()
