"""Tools and a prompt that return what they need to know instead of asking for it (SEP-2322)."""

import json

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    ListRootsRequest,
    SamplingMessage,
    TextContent,
)


def ask(message: str, member: str, kind: str = "string") -> ElicitRequest:
    schema = {"type": "object", "properties": {member: {"type": kind}}, "required": [member]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=50))


def answer(ctx: Context, name: str, member: str) -> str | None:
    """What the user has answered to one question, if there is an answer."""
    given = (ctx.input_responses or {}).get(name)
    return (getattr(given, "content", None) or {}).get(member) if given else None


def has(ctx: Context, *names: str) -> bool:
    return set(names) <= (ctx.input_responses or {}).keys()


def add_input_required(server: MCPServer) -> None:
    @server.tool()
    async def test_input_required_result_elicitation(ctx: Context) -> str | InputRequiredResult:
        """Needs the user's name."""
        if name := answer(ctx, "user_name", "name"):
            return f"Hello, {name}!"
        return InputRequiredResult(input_requests={"user_name": ask("What is your name?", "name")})

    @server.tool()
    async def test_input_required_result_sampling(ctx: Context) -> str | InputRequiredResult:
        """Needs a model."""
        if has(ctx, "capital_question"):
            return f"Model said: {ctx.input_responses['capital_question'].content.text}"
        return InputRequiredResult(input_requests={"capital_question": sample("What is the capital of France?")})

    @server.tool()
    async def test_input_required_result_list_roots(ctx: Context) -> str | InputRequiredResult:
        """Needs the client's roots."""
        if has(ctx, "client_roots"):
            return f"{len(ctx.input_responses['client_roots'].roots)} roots"
        return InputRequiredResult(input_requests={"client_roots": ListRootsRequest()})

    @server.tool()
    async def test_input_required_result_request_state(ctx: Context) -> str | InputRequiredResult:
        """Has the client carry its state."""
        if has(ctx, "confirm") and ctx.request_state == "asked":
            return "state-ok: confirmation received"
        return InputRequiredResult(input_requests={"confirm": ask("Please confirm", "ok", "boolean")}, request_state="asked")

    @server.tool()
    async def test_input_required_result_tampered_state(ctx: Context) -> str | InputRequiredResult:
        """Has the client carry its state, which the SDK has sealed."""
        if ctx.request_state:
            return f"state-ok: {ctx.request_state}"
        return InputRequiredResult(input_requests={"confirm": ask("Please confirm", "ok", "boolean")}, request_state="asked")

    @server.tool()
    async def test_input_required_result_multiple_inputs(ctx: Context) -> str | InputRequiredResult:
        """Needs three things at once."""
        requests = {"user_name": ask("What is your name?", "name"), "greeting": sample("Say hello"), "client_roots": ListRootsRequest()}
        if has(ctx, *requests):
            return "All inputs received."
        return InputRequiredResult(input_requests=requests, request_state="asked")

    @server.tool()
    async def test_input_required_result_multi_round(ctx: Context) -> str | InputRequiredResult:
        """Asks twice; the second state has the first answer in it."""
        state = json.loads(ctx.request_state or "{}")
        if state.get("round") == 2 and (color := answer(ctx, "step2", "color")):
            return f"{state['name']} likes {color}."
        if state.get("round") == 1 and (name := answer(ctx, "step1", "name")):
            second = {"step2": ask("Step 2: What is your favorite color?", "color")}
            return InputRequiredResult(input_requests=second, request_state=json.dumps({"round": 2, "name": name}))
        first = {"step1": ask("Step 1: What is your name?", "name")}
        return InputRequiredResult(input_requests=first, request_state=json.dumps({"round": 1}))

    @server.tool()
    async def test_input_required_result_capabilities(ctx: Context) -> InputRequiredResult:
        """Asks only what the client can do."""
        can, requests = ctx.client_capabilities, {}
        if can is None or can.sampling is not None:
            requests["sample"] = sample("Say hello")
        if can is None or can.elicitation is not None:
            requests["ask"] = ask("What is your name?", "name")
        return InputRequiredResult(input_requests=requests, request_state="asked")

    @server.prompt()
    async def test_input_required_result_prompt(ctx: Context) -> list[UserMessage] | InputRequiredResult:
        """Needs a context."""
        if context := answer(ctx, "user_context", "context"):
            return [UserMessage(TextContent(type="text", text=f"Use the following context: {context}"))]
        return InputRequiredResult(input_requests={"user_context": ask("In what context?", "context")})
