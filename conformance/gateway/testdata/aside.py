"""An MCP server whose tools ask as the Python SDK's README does: not for a request, so on the stream of the session."""

import os

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import SamplingMessage, TextContent

server = MCPServer("aside")


@server.tool()
async def sample(ctx: Context) -> str:
    question = SamplingMessage(role="user", content=TextContent(type="text", text="hi"))
    return (await ctx.session.create_message([question], max_tokens=5)).content.text


@server.tool()
async def roots(ctx: Context) -> str:
    return str((await ctx.session.list_roots()).roots[0].uri)


@server.tool()
async def elicit(ctx: Context) -> str:
    return (await ctx.session.elicit_form("who?", {"type": "object", "properties": {"name": {"type": "string"}}})).content["name"]


server.run("streamable-http", port=int(os.environ["PORT"]))
