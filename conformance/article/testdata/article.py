from bedrock_agentcore_starter_toolkit.operations.gateway.client import GatewayClient
import logging

# ゲートウェイクライアントをセットアップ
client = GatewayClient(region_name="us-east-1")
client.logger.setLevel(logging.DEBUG)

# Cognito認証を作成
cognito_response = client.create_oauth_authorizer_with_cognito("TestGateway")

# ゲートウェイを作成
gateway = client.create_mcp_gateway(
    # ゲートウェイの名前を指定。指定がない場合は自動的に生成される。
    name=None,
    # ゲートウェイが使用するIAMロールのARNを指定。指定がない場合は自動で作成される。
    role_arn=None,
    # ゲートウェイにアクセスしてくる呼び出し元を認証するためのOAuth認証を設定(MCPはOAuthのみ)
    authorizer_config=cognito_response["authorizer_config"],
    # セマンティック検索を有効(?)
    enable_semantic_search=True,
)

# Lambdaターゲットを作成
lambda_target = client.create_mcp_gateway_target(
    # アタッチするゲートウェイを指定
    gateway=gateway,
    # ターゲットの名前を指定。指定がない場合は自動的に生成される。
    name=None,
    # ターゲットの種類を指定。lambda / openApiSchema / smithyModel から指定。
    target_type="lambda",
    # ターゲットのペイロードの詳細を指定。
    # - 既存のLambda関数を作成した場合はここで指定
    # - それ以外の場合は None にしておくと自動で作成される
    target_payload=None,
    # このチュートリアルの後で、API キーと OAuth 資格情報を使用して API に接続する方法について説明がある
    credentials=None,
)

from strands import Agent
import logging
from strands.models import BedrockModel
from strands.tools.mcp.mcp_client import MCPClient
from mcp.client.streamable_http import streamablehttp_client
import os


def create_streamable_http_transport(mcp_url: str, access_token: str):
    return streamablehttp_client(
        mcp_url,
        headers={"Authorization": f"Bearer {access_token}"}
    )

def get_full_tools_list(client):
    more_tools = True
    tools = []
    pagination_token = None
    while more_tools:
        tmp_tools = client.list_tools_sync(pagination_token=pagination_token)
        tools.extend(tmp_tools)
        if tmp_tools.pagination_token is None:
            more_tools = False
        else:
            more_tools = True
            pagination_token = tmp_tools.pagination_token
    return tools

def run_agent(mcp_url: str, access_token: str):
    bedrockmodel = BedrockModel(
        inference_profile_id="us.anthropic.claude-sonnet-4-20250514-v1:0",
        region_name="us-east-1",
        temperature=0.7,
        streaming=True,
    )

    mcp_client = MCPClient(lambda: create_streamable_http_transport(mcp_url, access_token))

    with mcp_client:
        tools = get_full_tools_list(mcp_client)
        print(f"以下のツールを検出しました: {[tool.tool_name for tool in tools]}")
        agent = Agent(model=bedrockmodel,tools=tools)

        while True:
            user_input = input("\nこれはインタラクティブなStrandsエージェントです。何か質問してください。終了する際は「exit」または「quit」と入力してください: ")
            if user_input.lower() in ["exit", "quit", "bye"]:
                print("Goodbye!")
                break
            print("\nThinking...\n")
            agent(user_input)

# アクセストークンを取得
access_token = client.get_access_token_for_cognito(cognito_response["client_info"])

# エージェントを実行
run_agent(gateway["gatewayUrl"], access_token)
