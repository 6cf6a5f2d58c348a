"""What the bedrock-agentcore SDK offers for WebSockets and shells, as its own
examples use it: under AWS's host names, to a real agent. Arguments: its ARN."""

import asyncio
import json
import sys

import websockets
from bedrock_agentcore.runtime import AgentCoreRuntimeClient
from bedrock_agentcore.runtime.shell import OAuthAuth, PresignedAuth, ReconnectConfig, ShellChannel

arn = sys.argv[1]
client = AgentCoreRuntimeClient(region=arn.split(":")[3])
session = "websocket-session-0123456789-0123456789"


def ours(url):
    host = f"wss://bedrock-agentcore.{client.region}.amazonaws.com/"
    assert url.startswith(host), url
    return url


async def talk(name, url, **options):
    async with websockets.connect(ours(url), open_timeout=60, **options) as ws:
        assert ws.response.headers["X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"] == session
        assert json.loads(await ws.recv()) == {"session": session}
        for text in ["hello", "x" * 60_000, "Host: elsewhere\r\n\r\n"]:
            await ws.send(text)
            assert await ws.recv() == f"heard {text}", name
        await ws.send("leave")
        try:
            raise AssertionError(await ws.recv())
        except websockets.ConnectionClosed as e:
            assert (e.rcvd.code, e.rcvd.reason) == (4321, "so long"), (name, e)
    print("talked", name)


async def reads(shell, end):
    text = ""
    async for frame in shell:
        if frame.channel == ShellChannel.STDOUT:
            text += frame.text
            if end in text:
                return text
    raise AssertionError(f"the shell ended after {text!r}")


async def shells(name, auth):
    shell_id = f"shell-{name}"
    async with client.open_shell(arn, session_id=session, shell_id=shell_id, auth=auth) as shell:
        assert (shell.session_id, shell.shell_id) == (session, shell_id)
        await shell.resize(111, 33)
        await shell.send("secret=$((6*7)); stty size; echo the answer: $secret\n")
        text = await reads(shell, "answer: 42")
        assert "33 111" in text, text
    # It has lived on, and knows what it knew.
    again = client.open_shell(arn, session_id=session, shell_id=shell_id, auth=auth, reconnect_config=ReconnectConfig(max_retries=1))
    async with again as shell:
        await shell.send("echo still $secret; exit $((secret-39))\n")
        async for _ in shell:
            pass
        assert shell.exit_code == 3, shell.exit_code
    print("shell by", name)


async def raw_shell():
    url, headers = client.connect_shell(arn, session_id=session, shell_id="shell-raw")
    async with websockets.connect(ours(url), additional_headers=headers) as ws:
        status = await ws.recv()
        assert status[0] == ShellChannel.STATUS and json.loads(status[1:])["metadata"]["shellId"] == "shell-raw", status
        await ws.send(bytes([ShellChannel.STDIN]) + b"exit\n")
        async for _ in ws:
            pass
    print("shell by hand")


async def refused(what):
    """A runtime without an authorizer takes no bearer token."""
    try:
        await what
    except websockets.InvalidStatus as e:
        assert e.response.status_code in (401, 403), e.response
        print("refused", e.response.status_code)
        return
    raise AssertionError("a bearer token was taken")


async def story():
    url, headers = client.generate_ws_connection(arn, session_id=session)
    await talk("signed", url, additional_headers=headers)
    await talk("presigned", client.generate_presigned_url(arn, session_id=session, endpoint_name="DEFAULT", expires=60))
    for name, auth in {"sigv4": "sigv4", "presigned": PresignedAuth(expires=120)}.items():
        await shells(name, auth)
    await raw_shell()
    url, headers = client.generate_ws_connection_oauth(arn, bearer_token="token", session_id=session)
    await refused(websockets.connect(ours(url), additional_headers=headers).__aenter__())
    await refused(client.open_shell(arn, session_id=session, auth=OAuthAuth("token")).__aenter__())


asyncio.run(story())
print("story told")
