"""Capture: what a flow run and each attempt of its tasks took in, touched and gave out, at the seams of Prefect's engine."""
