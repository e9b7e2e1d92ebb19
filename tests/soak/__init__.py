"""The soak test: many threads, all that can go wrong at once, and time that flies.

``nox -s soak -- --minutes 10 --seed 7``; it is no part of the test run. Every result is checked
against what was asked for and against a record of the certificates issued, kept apart from the
product's own.
"""
