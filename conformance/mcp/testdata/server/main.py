"""A server with every feature of MCP under the names that the official conformance suite asks for.

MCP_SESSIONS=kept has it name and remember sessions, else it keeps none.
"""

import asyncio
import base64
import json
import os
from typing import Annotated, Any

from input_required import add_input_required
from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from mcp.types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    JSONRPCMessage,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field, create_model

# The smallest PNG, and a WAV without a sample.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

server = MCPServer("everything", version="1.0.0", request_state_security=RequestStateSecurity(keys=[b"of a test" * 4]))


def text(value: str) -> TextContent:
    return TextContent(type="text", text=value)


def image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, mime_type: str, value: str) -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=value))


# What tools return.


@server.tool()
def test_simple_text() -> str:
    """Returns text."""
    return "This is a simple text response for testing."


@server.tool()
def test_image_content() -> list[ImageContent]:
    """Returns an image."""
    return [image()]


@server.tool()
def test_audio_content() -> list[AudioContent]:
    """Returns a sound."""
    return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


@server.tool()
def test_embedded_resource() -> list[EmbeddedResource]:
    """Returns a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@server.tool()
def test_multiple_content_types() -> list[TextContent | ImageContent | EmbeddedResource]:
    """Returns text, an image and a resource."""
    return [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", '{"test": "data", "value": 123}'),
    ]


@server.tool()
def test_error_handling() -> str:
    """Fails."""
    raise RuntimeError("This tool intentionally returns an error for testing")


# What tools say while they work, and ask.


@server.tool()
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs three lines."""
    for what in ("execution started", "processing data", "execution completed"):
        await ctx.info(f"Tool {what}")
        await asyncio.sleep(0.05)
    return "logged"


@server.tool()
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports progress."""
    for done in (0, 50, 100):
        await ctx.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return "done"


@server.tool()
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the client's model."""
    question = SamplingMessage(role="user", content=text(prompt))
    answer = await ctx.session.create_message([question], max_tokens=100, related_request_id=ctx.request_id)
    return f"LLM response: {answer.content.text}"


@server.tool()
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream on the way; the client comes back for the rest."""
    await ctx.close_sse_stream()
    await asyncio.sleep(0.2)
    return "Reconnection test completed"


class Response(BaseModel):
    response: str = Field(description="User's response")


class Defaults(BaseModel):
    name: str = "John Doe"
    age: int = 30
    score: float = 95.5
    status: str = Field("active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = True


def titled(**titles: str) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in titles.items()]


CHOICES: dict[str, tuple[Any, dict[str, Any]]] = {
    "untitledSingle": (str, {"enum": ["one", "two"]}),
    "titledSingle": (str, {"oneOf": titled(one="The first", two="The second")}),
    "untitledMulti": (list[str], {"items": {"type": "string", "enum": ["one", "two"]}}),
    "titledMulti": (list[str], {"items": {"anyOf": titled(one="The first", two="The second")}}),
    "legacyEnum": (str, {"enum": ["one", "two"], "enumNames": ["The first", "The second"]}),
}
Choices = create_model("Choices", **{n: (t, Field(json_schema_extra=more)) for n, (t, more) in CHOICES.items()})


async def elicit(ctx: Context, message: str, schema: type[BaseModel]) -> str:
    result = await ctx.elicit(message=message, schema=schema)
    content = result.data.model_dump_json() if result.action == "accept" else "{}"
    return f"action={result.action}, content={content}"


@server.tool()
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    return "User response: " + await elicit(ctx, message, Response)


@server.tool()
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks with a default for each type."""
    return "Elicitation completed: " + await elicit(ctx, "Who are you?", Defaults)


@server.tool()
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks for choices of each form."""
    return "Elicitation completed: " + await elicit(ctx, "Choose.", Choices)


@server.tool()
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "none") -> str:
    """Has a parameter that clients repeat in a header."""
    return f"region={region}"


@server.tool()
async def test_logging_tool(ctx: Context) -> str:
    """Logs a line."""
    await ctx.info("working")
    return "logged"


@server.tool()
async def test_streaming_elicitation(ctx: Context) -> str:
    """Reports progress, and asks for nothing."""
    await ctx.report_progress(1, 2, "halfway")
    return "done"


@server.tool()
def test_missing_capability(ctx: Context) -> str:
    """Needs a client that samples."""
    capabilities = ctx.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            code=MISSING_REQUIRED_CLIENT_CAPABILITY,
            message="This tool requires the client 'sampling' capability",
            data={"requiredCapabilities": {"sampling": {}}},
        )
    return "the client samples"


@server.tool()
async def test_trigger_tool_change(ctx: Context) -> str:
    """Tells subscribers that tools have come and gone."""
    server.add_tool(lambda: "", name="passing")
    server.remove_tool("passing")
    await ctx.notify_tools_changed()
    return "changed"


@server.tool()
async def test_trigger_prompt_change(ctx: Context) -> str:
    """Tells subscribers that prompts have come and gone."""
    server.add_prompt(Prompt.from_function(lambda: "", name="passing", description="passing"))
    server.remove_prompt("passing")
    await ctx.notify_prompts_changed()
    return "changed"


add_input_required(server)


# Resources.


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A text."""
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """An image."""
    return base64.b64decode(PNG)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    """A resource for each id."""
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource", mime_type="text/plain")
def watched() -> str:
    """A resource to subscribe to."""
    return "watched"


# Prompts.


@server.prompt()
def test_simple_prompt() -> list[UserMessage]:
    """Has no arguments."""
    return [UserMessage(text("This is a simple prompt for testing."))]


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    """Has two."""
    return [UserMessage(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))]


@server.prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    """Has a resource in it."""
    return [
        UserMessage(embedded(resourceUri, "text/plain", "Embedded resource content for testing.")),
        UserMessage(text("Please process the embedded resource above.")),
    ]


@server.prompt()
def test_prompt_with_image() -> list[UserMessage]:
    """Has an image in it."""
    return [UserMessage(image()), UserMessage(text("Please analyze the image above."))]


# Completion, logging levels and subscriptions.


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    return Completion(values=[], total=0, has_more=False)


async def accept(ctx: ServerRequestContext, params: Any) -> EmptyResult:
    return EmptyResult()


# MCPServer itself has no handlers for these.
for method, params in {
    "logging/setLevel": SetLevelRequestParams,
    "resources/subscribe": SubscribeRequestParams,
    "resources/unsubscribe": UnsubscribeRequestParams,
}.items():
    server._lowlevel_server.add_request_handler(method, params, accept)


class Events(EventStore):
    """Remembers what was sent, for clients that come back."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.sent.append((stream_id, message))
        return str(len(self.sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = int(last_event_id)
        stream = self.sent[last - 1][0]
        for number, (of, message) in enumerate(self.sent[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


if __name__ == "__main__":
    kept = os.environ.get("MCP_SESSIONS") == "kept"
    server.run(
        transport="streamable-http",
        port=int(os.environ.get("MCP_PORT", "8000")),
        stateless_http=not kept,
        event_store=Events() if kept else None,
        retry_interval=100 if kept else None,
    )
