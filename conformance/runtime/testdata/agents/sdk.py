"""An agent on the SDK that says something every 100 ms, and when it said it."""

import asyncio
import os
import time

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()


@app.entrypoint
async def invoke(payload):
    for n in range(payload.get("count", 3)):
        await asyncio.sleep(0.1)
        yield {"n": n, "at": time.time()}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
