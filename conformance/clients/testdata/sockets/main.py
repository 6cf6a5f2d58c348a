"""An agent whose WebSocket says what it hears, and in which session."""

from bedrock_agentcore.runtime import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.websocket
async def talk(websocket, context):
    await websocket.accept()
    await websocket.send_json({"session": context.session_id})
    async for text in websocket.iter_text():
        if text == "leave":
            await websocket.close(code=4321, reason="so long")
            return
        await websocket.send_text(f"heard {text}")


@app.entrypoint
def invoke(payload):
    return {"heard": payload}


if __name__ == "__main__":
    app.run()
