"""Keys of NCrypt: stored, named, locked, and signing."""
