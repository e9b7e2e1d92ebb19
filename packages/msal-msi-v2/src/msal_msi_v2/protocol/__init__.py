"""The MSI v2 protocol: what is sent, and what is made of the answer.

Pure: nothing here opens a socket, reads the clock or the environment, or knows about msal.
"""
