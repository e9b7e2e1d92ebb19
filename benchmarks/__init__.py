"""Benchmarks: what must be cheap, as ratios against a peer measured in the same run.

``python -m benchmarks`` runs all of them, ``python -m benchmarks.cached`` one. Each says whether
it meets its target; with ``--strict``, one that is missed also makes the exit code 1.
"""
