"""Servers, accounts and commands that the Python test suites, the lab and the benchmarks share."""
