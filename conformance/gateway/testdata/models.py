"""The clients of OpenAI and of Anthropic at a gateway before a provider: models.py PROVIDER.

Prints what they get; what is not as it should be is an exception."""

import os
import re
import sys

import anthropic
import boto3
import openai

import kit

provider, region = sys.argv[1], os.environ["AWS_REGION"]
cognito, control = boto3.client("cognito-idp"), boto3.client("bedrock-agentcore-control")


# A user with a token, and one of another application.
pool = cognito.create_user_pool(PoolName="people")["UserPool"]["Id"]
cognito.admin_create_user(UserPoolId=pool, Username="ada")
cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Ada-Password-1", Permanent=True)
tokens, clients = {}, {}
for name in ("app", "other"):
    clients[name] = cognito.create_user_pool_client(UserPoolId=pool, ClientName=name, ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"])["UserPoolClient"]["ClientId"]
    tokens[name] = cognito.initiate_auth(
        ClientId=clients[name], AuthFlow="USER_PASSWORD_AUTH", AuthParameters={"USERNAME": "ada", "PASSWORD": "Ada-Password-1"}
    )["AuthenticationResult"]["AccessToken"]

role = kit.role("models", "bedrock-agentcore:GetWorkloadAccessToken", "bedrock-agentcore:GetResourceApiKey", "secretsmanager:GetSecretValue")
discovery = f"https://cognito-idp.{region}.amazonaws.com/{pool}/.well-known/openid-configuration"
gateway = control.create_gateway(
    name="models", roleArn=role, authorizerType="CUSTOM_JWT",
    authorizerConfiguration={"customJWTAuthorizer": {"discoveryUrl": discovery, "allowedClients": [clients["app"]]}},
)
url, gateway = gateway["gatewayUrl"], gateway["gatewayId"]
kit.settled(lambda: control.get_gateway(gatewayIdentifier=gateway))
for name, endpoint, paths, models, more in (
    ("gpts", provider, ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"], ["gpt-small", "gpt-metered", "text-embedding-small"], {}),
    ("claudes", provider, ["/v1/messages", "/v1/messages/count_tokens"], ["claude-small", "claude-metered"], {"credentialLocation": "HEADER", "credentialParameterName": "x-api-key"}),
    ("dead", "http://127.0.0.1:9", ["/v1/chat/completions", "/v1/messages"], ["none"], {}),
):
    key = control.create_api_key_credential_provider(name=name, apiKey="key-of-" + name)["credentialProviderArn"]
    made = control.create_gateway_target(
        gatewayIdentifier=gateway, name=name,
        targetConfiguration={"inference": {"provider": {
            "endpoint": endpoint, "operations": [{"path": path, "models": [{"model": m} for m in models]} for path in paths]}}},
        credentialProviderConfigurations=[{"credentialProviderType": "API_KEY", "credentialProvider": {"apiKeyCredentialProvider": {"providerArn": key, **more}}}],
    )
    kit.settled(lambda: control.get_gateway_target(gatewayIdentifier=gateway, targetId=made["targetId"]))
control.create_gateway_rate_limit(
    gatewayIdentifier=gateway, rateLimitId="metered", dimensionKeys=["qualifiedModelId"],
    entries=[{"dimensions": {"qualifiedModelId": m}, "tokens": [{"rate": 10, "period": "minute"}]} for m in ("gpt-metered", "claude-metered")],
)

gpt = openai.OpenAI(base_url=url + "/inference/v1", api_key=tokens["app"], max_retries=0)
claude = anthropic.Anthropic(base_url=url + "/inference", auth_token=tokens["app"], max_retries=0)
parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def chat(text, model="gpt-small", by=gpt, **more):
    return by.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **more)


def say(text, model="claude-small", by=claude, **more):
    return by.messages.create(model=model, max_tokens=64, messages=[{"role": "user", "content": text}], **more)


def error(call, kind, *more):
    """What a client raises, with its status and what it makes of the body."""
    try:
        call()
    except kind as e:
        assert type(e) is kind, type(e)
        print(f"{type(e).__module__}.{type(e).__name__}", *(m(e) for m in more))
        return e
    raise AssertionError(f"no {kind.__name__}")


def status(e):
    return e.status_code


def retry(e):
    seconds = int(e.response.headers["retry-after"])
    return "later" if 1 <= seconds <= 60 else seconds


def timeless(text):
    return re.sub(r"in [0-9]+ s", "in N s", text)


def openai_body(e):
    return f"{e.type} {e.code} {timeless(e.body['message'])}"


def anthropic_body(e):
    return f"{e.body['error']['type']} {timeless(e.body['error']['message'])}"


print("models", [m.id for m in gpt.models.list()], [m.display_name for m in claude.models.list()] == [m.id for m in gpt.models.list()])

print("chat", chat("hello").choices[0].message.content, chat("hello", model="gpts/gpt-small").usage.total_tokens)
print("stream", [c.choices[0].delta.content for c in chat("hello", stream=True) if c.choices and c.choices[0].delta.content])
tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
call = chat("weather", tools=tools).choices[0].message.tool_calls[0]
print("tool", call.function.name, call.function.arguments)
with gpt.chat.completions.stream(model="gpt-small", messages=[{"role": "user", "content": "weather"}], tools=tools) as events:
    done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
print("streamed tool", done[0].name, done[0].arguments)
print("response", gpt.responses.create(model="gpt-small", input="hello").output_text)
print("embedding", gpt.embeddings.create(model="text-embedding-small", input="hello", encoding_format="float").data[0].embedding)
print("again", chat("once more", by=gpt.with_options(max_retries=1)).choices[0].message.content)

message = say("hello")
print("message", message.content[0].text, message.usage.output_tokens)
with claude.messages.stream(model="claude-small", max_tokens=64, messages=[{"role": "user", "content": "hello"}]) as events:
    words, last = list(events.text_stream), events.get_final_message()
print("stream", words, last.stop_reason, last.usage.output_tokens)
tools = [{"name": "weather", "input_schema": parameters}]
with claude.messages.stream(model="claude-small", max_tokens=64, tools=tools, messages=[{"role": "user", "content": "weather"}]) as events:
    last = events.get_final_message()
print("streamed tool", [b.type for b in last.content], last.content[1].name, last.content[1].input)
print("count", claude.messages.count_tokens(model="claude-small", messages=[{"role": "user", "content": "hello"}]).input_tokens)
print("again", say("once more", by=claude.with_options(max_retries=1)).content[0].text)

# What fails, and what the clients make of it: here and at the provider.
error(lambda: chat("hello", by=gpt.with_options(api_key="nobody's")), openai.AuthenticationError, status, str)
error(lambda: say("hello", by=claude.with_options(auth_token="nobody's")), anthropic.AuthenticationError, status, str)
error(lambda: chat("hello", by=gpt.with_options(api_key=tokens["other"])), openai.PermissionDeniedError, status, str)
error(lambda: say("hello", by=claude.with_options(auth_token=tokens["other"])), anthropic.PermissionDeniedError, status, str)
error(lambda: chat("hello", model="gpt-huge"), openai.NotFoundError, status, openai_body)
error(lambda: say("hello", model="claude-huge"), anthropic.NotFoundError, status, anthropic_body)
error(lambda: chat("hello", model=""), openai.BadRequestError, status, openai_body)
error(lambda: chat("be refused"), openai.BadRequestError, status, openai_body)
error(lambda: say("be refused"), anthropic.BadRequestError, status, anthropic_body)
error(lambda: chat("too much"), openai.RateLimitError, status, retry, openai_body)
error(lambda: say("too much"), anthropic.RateLimitError, status, retry, anthropic_body)
error(lambda: chat("break"), openai.APIConnectionError)
error(lambda: chat("hello", model="dead/none"), openai.InternalServerError, status, openai_body)
error(lambda: say("hello", model="dead/none"), anthropic.InternalServerError, status, anthropic_body)
error(lambda: list(chat("fail later", stream=True)), openai.APIError)
error(lambda: list(say("fail later", stream=True)), anthropic.APIStatusError)

# The limit of the gateway, which is less than a call uses. What one used is counted when
# its stream has ended, which the client may know before the gateway does.
def over(call):
    for _ in range(20):
        call()


error(lambda: over(lambda: list(chat("hello", model="gpt-metered", stream=True))), openai.RateLimitError, status, retry, openai_body)
error(lambda: over(lambda: list(say("hello", model="claude-metered", stream=True))), anthropic.RateLimitError, status, retry, anthropic_body)
print("other models", chat("hello").choices[0].message.content, say("hello").content[0].text)
