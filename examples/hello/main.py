"""A small agent that answers word by word, from the prompt alone: no model, no keys."""

import asyncio
import re
from collections.abc import AsyncIterator

from bedrock_agentcore import BedrockAgentCoreApp, RequestContext

app = BedrockAgentCoreApp()

# Every session runs in a sandbox of its own, so this is the memory of one
# conversation. It ends with the session.
said: list[str] = []


def answer(prompt: str) -> str:
    """Decides what to say."""
    command, _, rest = prompt.strip().partition(" ")
    match command.lower():
        case "add":
            numbers = re.findall(r"-?\d+(?:\.\d+)?", rest)
            return f"{' + '.join(numbers) or 'Nothing'} is {sum(map(float, numbers)):g}."
        case "reverse":
            return rest[::-1]
        case "remember":
            return f"Before this you said: {', '.join(map(repr, said)) or 'nothing'}."
        case "":
            return "Send me a prompt, for example: add 19 and 23."
    longest = max(prompt.split(), key=len)
    return f"Hello! Your prompt has {len(prompt)} letters and its longest word is {longest}. Try add, reverse or remember."


@app.entrypoint
async def invoke(payload: dict, context: RequestContext) -> AsyncIterator[str]:
    """Streams the answer, one event for each word."""
    prompt = str(payload.get("prompt", ""))
    text = answer(prompt)
    said.append(prompt)
    app.logger.info("turn %d of session %s", len(said), context.session_id)
    for word in text.split():
        yield word + " "
        await asyncio.sleep(0.05)  # about the pace of a model


if __name__ == "__main__":
    app.run()
