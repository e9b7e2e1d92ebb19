"""One WinHTTP request, from its URL to the last byte of its answer."""
