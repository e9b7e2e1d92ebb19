"""The native attestation library: found, loaded, called, its answers kept."""
