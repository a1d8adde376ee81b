"""Prefect's own test-suite, run with the plugin off and on: what passes off must pass on."""
