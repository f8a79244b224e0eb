"""The command line: ``retq``. A command parses, calls one library function, and prints."""

from retq_hub.cli.app import main

__all__ = ["main"]
