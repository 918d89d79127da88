"""Engines: the ways to run a network. Which one runs is an option, not a different program."""
