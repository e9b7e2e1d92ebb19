"""A token for another resource, once the certificate is there: how many requests it takes."""

from __future__ import annotations

from .hosts import acquire, emulator_here, make_client
from .measuring import conclude, judge


def main() -> bool:
    """Count; return whether the target is met."""
    with emulator_here() as emulator:
        client = make_client()
        acquire(client)
        emulator.clear_requests()
        connections = emulator.connections("token")
        acquire(client, "https://storage.azure.com")
        legs = [request.leg for request in emulator.requests]
        connections = emulator.connections("token") - connections
    detail = f"{len(legs)} HTTP request ({', '.join(legs)}), {connections} new connections"
    return judge("a new resource", detail, "1 request, to the token service", met=legs == ["token"])


if __name__ == "__main__":
    conclude(main())
