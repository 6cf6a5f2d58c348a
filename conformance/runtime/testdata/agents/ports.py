"""An agent that serves a second port beside its own, with HTTP and a WebSocket."""

import threading

import uvicorn
from bedrock_agentcore.runtime import BedrockAgentCoreApp
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute

app = BedrockAgentCoreApp()
counted = 0


async def hear(request):
    global counted
    counted += 1
    return JSONResponse(
        {
            "method": request.method, "path": request.url.path, "query": request.url.query, "host": request.headers["host"],
            "tenant": request.headers.get("x-tenant"), "proof": request.headers.get("authorization"), "body": (await request.body()).decode(), "counted": counted,
        },
        status_code=418 if request.url.path == "/teapot" else 200,
    )


async def talk(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"heard {text}")


side = Starlette(routes=[WebSocketRoute("/talk", talk), Route("/{path:path}", hear, methods=["GET", "POST", "PUT", "DELETE"])])


@app.entrypoint
def invoke(payload):
    return "begun"


if __name__ == "__main__":
    threading.Thread(target=uvicorn.run, args=(side,), kwargs={"host": "127.0.0.1", "port": 8100, "log_level": "warning"}, daemon=True).start()
    app.run()
