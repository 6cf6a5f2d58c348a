"""An agent of Strands whose model asks for the one tool."""

import sys

from mcp.client.streamable_http import streamablehttp_client
from strands import Agent
from strands.models import Model
from strands.tools.mcp import MCPClient

from person import say


class Scripted(Model):
    def update_config(self, **_):
        pass

    def get_config(self):
        return {}

    async def structured_output(self, *_, **__):
        raise NotImplementedError
        yield

    async def stream(self, messages, tool_specs=None, system_prompt=None, **_):
        yield {"messageStart": {"role": "assistant"}}
        if len(messages) == 1:
            say(tools=[spec["name"] for spec in tool_specs])
            yield {"contentBlockStart": {"start": {"toolUse": {"name": "stones___find", "toolUseId": "1"}}}}
            yield {"contentBlockDelta": {"delta": {"toolUse": {"input": '{"word": "granite"}'}}}}
        else:
            yield {"contentBlockStart": {"start": {}}}
            yield {"contentBlockDelta": {"delta": {"text": "done"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if len(messages) == 1 else "end_turn"}}


with MCPClient(lambda: streamablehttp_client(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})) as client:
    agent = Agent(model=Scripted(), tools=client.list_tools_sync(), callback_handler=None)
    agent("What of granite?")
    result = agent.messages[2]["content"][0]["toolResult"]
    say(called=result["content"][0]["text"])
