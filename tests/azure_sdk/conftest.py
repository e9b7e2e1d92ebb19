"""These tests run over every kind of keys and TLS that this machine has."""

from stacks import attested_platform, emulator, make_platform, platform, stack

__all__ = ["attested_platform", "emulator", "make_platform", "platform", "stack"]
