"""HTTPS that presents a binding certificate."""
