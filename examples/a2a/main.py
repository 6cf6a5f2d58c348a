"""An A2A agent: other agents read its card to learn what it can do, and send it messages."""

import re

from a2a.helpers import new_text_message
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill
from bedrock_agentcore.runtime import serve_a2a

CARD = AgentCard(
    name="adder",
    description="Adds the numbers in a message.",
    version="1.0.0",
    capabilities=AgentCapabilities(streaming=True),
    default_input_modes=["text/plain"],
    default_output_modes=["text/plain"],
    skills=[AgentSkill(id="add", name="Add", description="Adds numbers", tags=["arithmetic"], examples=["19 and 23"])],
    # serve_a2a puts in the address that the platform tells it.
    supported_interfaces=[AgentInterface(protocol_binding="JSONRPC", protocol_version="1.0", url="http://localhost:9000/")],
)


class Adder(AgentExecutor):
    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        numbers = re.findall(r"-?\d+(?:\.\d+)?", context.get_user_input())
        answer = f"{' + '.join(numbers) or 'Nothing'} is {sum(map(float, numbers)):g}."
        await event_queue.enqueue_event(new_text_message(answer, context_id=context.context_id))

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError("an addition is over before it can be cancelled")


if __name__ == "__main__":
    serve_a2a(Adder(), CARD)
