"""The benchmark's agent: on the SDK, with imports that take two seconds, and it streams."""

import os
from collections.abc import AsyncIterator

import slow  # noqa: F401
from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
turns = 0


@app.entrypoint
async def invoke(payload: dict) -> AsyncIterator[str]:
    """Says how often it was asked."""
    global turns
    turns += 1
    yield f"turn {turns}"


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
