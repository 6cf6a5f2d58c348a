"""Reaches services by the decorators of the SDK, and answers with what it was handed."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.identity import requires_access_token, requires_api_key

app = BedrockAgentCoreApp()


@requires_api_key(provider_name="maps")
async def key(*, api_key):
    return api_key


@requires_access_token(provider_name="svc", scopes=["api"], auth_flow="M2M")
async def machine(*, access_token):
    return access_token


@requires_access_token(provider_name="svc", scopes=["openid", "api"], auth_flow="ON_BEHALF_OF_TOKEN_EXCHANGE")
async def behalf(*, access_token):
    return access_token


async def user(back):
    links = asyncio.Queue()

    @requires_access_token(
        provider_name="svc",
        scopes=["openid", "api"],
        auth_flow="USER_FEDERATION",
        on_auth_url=links.put_nowait,
        callback_url=back,
        custom_state="my:state",
    )
    async def use(*, access_token):
        return access_token

    task, link = asyncio.create_task(use()), asyncio.create_task(links.get())
    await asyncio.wait({task, link}, return_when=asyncio.FIRST_COMPLETED)
    if link.done():
        yield {"link": link.result()}
    else:
        link.cancel()
    yield {"token": await task}


@app.entrypoint
async def main(payload):
    if payload["do"] == "user":
        async for event in user(payload["back"]):
            yield event
    else:
        yield {"token": await {"key": key, "machine": machine, "behalf": behalf}[payload["do"]]()}


app.run()
