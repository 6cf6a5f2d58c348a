from strands import Agent
from bedrock_agentcore.runtime import BedrockAgentCoreApp

agent = Agent(
    model="global.anthropic.claude-haiku-4-5-20251001-v1:0"
)
app = BedrockAgentCoreApp()

@app.entrypoint
def invoke(payload):
    """ユーザー入力を処理してレスポンスを返す"""
    user_message = payload.get("prompt", "")
    response = agent(user_message)
    return str(response)

if __name__ == "__main__":
    app.run()
