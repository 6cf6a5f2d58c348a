"""The Python SDK, line 1: signs in by itself, calls, and goes on when its token has expired."""

import asyncio
import time

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientMetadata

from person import Application, Memory, gateway, say


async def main():
    app, memory = await Application().start(), Memory()

    async def returned():
        query = await app.returned()
        return query["code"], query["state"]

    provider = OAuthClientProvider(
        gateway(), OAuthClientMetadata(client_name="Python SDK", redirect_uris=[app.url]), memory, app.open, returned)

    async def use():
        async with (
            streamablehttp_client(gateway(), auth=provider) as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            say(tools=[tool.name for tool in (await session.list_tools()).tools])
            called = await session.call_tool("stones___find", {"word": "granite"})
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
