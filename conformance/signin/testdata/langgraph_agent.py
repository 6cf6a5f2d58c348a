"""An agent of LangGraph whose model asks for the one tool, and repeats what it says."""

import asyncio
import sys

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_mcp_adapters.client import MultiServerMCPClient
from langgraph.prebuilt import create_react_agent

from person import say


class Scripted(FakeMessagesListChatModel):
    def bind_tools(self, tools, **_):
        say(tools=[tool.name for tool in tools])
        return self


async def main():
    client = MultiServerMCPClient({"stones": {
        "transport": "streamable_http", "url": sys.argv[1], "headers": {"Authorization": "Bearer " + sys.argv[2]},
    }})
    model = Scripted(responses=[
        AIMessage("", tool_calls=[{"name": "stones___find", "args": {"word": "granite"}, "id": "1"}]), AIMessage("done"),
    ])
    done = await create_react_agent(model, await client.get_tools()).ainvoke({"messages": "What of granite?"})
    tool = next(m for m in done["messages"] if m.type == "tool")
    say(called=tool.content if isinstance(tool.content, str) else tool.content[0]["text"])


asyncio.run(main())
