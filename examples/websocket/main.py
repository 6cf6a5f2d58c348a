"""A conversation over one WebSocket: both sides speak when they like."""

import asyncio

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext
from starlette.websockets import WebSocket, WebSocketDisconnect

app = BedrockAgentCoreApp()


@app.websocket
async def talk(socket: WebSocket, context: RequestContext) -> None:
    """Says each message back word by word. A new message interrupts what is being said."""
    await socket.accept()
    saying: asyncio.Task | None = None
    try:
        while True:
            message = await socket.receive_json()
            if saying and not saying.done():
                saying.cancel()
                await socket.send_json({"interrupted": True})
            saying = asyncio.create_task(say(socket, message["text"]))
    except WebSocketDisconnect:
        app.logger.info("the caller of session %s has hung up", context.session_id)


async def say(socket: WebSocket, text: str) -> None:
    for word in text.split():
        await socket.send_json({"word": word})
        await asyncio.sleep(0.1)  # about the pace of speech
    await socket.send_json({"done": True})


if __name__ == "__main__":
    app.run()
