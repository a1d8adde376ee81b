"""The demonstration that ``make demo`` runs, and the private Prefect server it shares with benchmarks and tests."""
