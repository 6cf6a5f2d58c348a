"""An MCP server with a tool and a resource. Every session runs in a sandbox of its own."""

from mcp.server import MCPServer

server = MCPServer("unit-converter", instructions="Converts lengths.")

METRES = {"m": 1.0, "km": 1000.0, "ft": 0.3048, "mi": 1609.344}


@server.tool()
def convert(value: float, unit: str, to: str) -> float:
    """Converts a length, such as 5 mi to km."""
    return round(value * METRES[unit] / METRES[to], 4)


@server.resource("units://all")
def units() -> dict[str, float]:
    """Every unit, in metres."""
    return METRES


if __name__ == "__main__":
    # The platform dials port 8000 and names every session itself, so the server need not remember any.
    server.run(transport="streamable-http", host="0.0.0.0", port=8000, stateless_http=True)
