"""Windows as C sees it: declarations, libraries, constants, status codes, and who frees what."""
