"""The Python SDK, line 2: signs in by itself, calls, and goes on when its token has expired."""

import asyncio
import os
import time

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

from person import Application, Memory, gateway, say


async def main():
    app, memory = await Application().start(), Memory()

    async def returned():
        return AuthorizationCodeResult(**await app.returned())

    provider = OAuthClientProvider(
        gateway(), OAuthClientMetadata(client_name="Python SDK", redirect_uris=[app.url]), memory, app.open, returned,
        client_metadata_url=os.environ.get("CLIENT_URL"))

    async def use():
        async with (
            httpx2.AsyncClient(auth=provider, timeout=60) as http,
            Client(streamable_http_client(gateway(), http_client=http)) as client,
        ):
            say(tools=[tool.name for tool in (await client.list_tools()).tools])
            called = await client.call_tool("stones___find", {"word": "granite"})
            say(called=called.content[0].text)

    try:
        await use()
    except BaseException as error:  # a group, of what was under way
        say(failed=repr(error))
        return
    first = memory.tokens.access_token
    provider.context.token_expiry_time = time.time() - 1  # an hour later
    await use()
    say(refreshed=memory.tokens.access_token != first)


asyncio.run(main())
