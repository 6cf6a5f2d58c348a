"""Proves who it is by tokens of its role: to a service itself, and by a credential provider that has no secret."""

from bedrock_agentcore import BedrockAgentCoreApp
from bedrock_agentcore.identity import requires_access_token
from bedrock_agentcore.identity.auth import requires_iam_access_token

app = BedrockAgentCoreApp()


@requires_iam_access_token(audience=["https://api.example.com"])
def own(*, access_token):
    return access_token


@requires_access_token(provider_name="svc", scopes=["api"], auth_flow="M2M")
async def machine(*, access_token):
    return access_token


@app.entrypoint
async def main(payload):
    return {"token": own() if payload["do"] == "own" else await machine()}


app.run()
