r"""``CurrentUser\My``: what lies there and under which names."""
