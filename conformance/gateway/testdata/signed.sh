#!/usr/bin/env bash
# A program's role, an agent, its role, a gateway, a credential provider, a service that wants a key.
set -euo pipefail
export AWS_PAGER=
control() { aws bedrock-agentcore-control "$@" --output text; }
trust() { echo '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":'"$1"',"Action":"sts:AssumeRole"}]}'; }
allow() { aws iam put-role-policy --role-name "$1" --policy-name "$2" --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":'"$3"',"Resource":'"$4"'}]}'; }
role() { aws iam create-role --role-name "$1" --assume-role-policy-document "$(trust "$2")" --query Role.Arn --output text; }
fail() { echo "$*" >&2; exit 1; }

# The service takes a free port.
port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$PYTHON" "$AGENT/search.py" "$KEY" "$port" >/dev/null 2>&1 &
service_pid=$!
trap 'kill $service_pid' EXIT
until curl -s "http://127.0.0.1:$port/search" >/dev/null; do sleep 0.1; done

service='{"Service":"bedrock-agentcore.amazonaws.com"}'
provider=$(control create-api-key-credential-provider --name search --api-key "$KEY" --query credentialProviderArn)
gateway_role=$(role gateway "$service")
allow gateway key '["bedrock-agentcore:GetWorkloadAccessToken","bedrock-agentcore:GetResourceApiKey","secretsmanager:GetSecretValue"]' '"*"'
gateway=$(control create-gateway --name search --role-arn "$gateway_role" --protocol-type MCP --authorizer-type AWS_IAM --exception-level DEBUG --query gatewayId)
sed "s/9400/$port/" "$AGENT/search.json" >"$SCRATCH/search.json"
target=$("$PYTHON" -c 'import json, sys; print(json.dumps({"mcp": {"openApiSchema": {"inlinePayload": open(sys.argv[1]).read()}}}))' "$SCRATCH/search.json")
id=$(control create-gateway-target --gateway-identifier "$gateway" --name web --target-configuration "$target" --query targetId --credential-provider-configurations \
  '[{"credentialProviderType":"API_KEY","credentialProvider":{"apiKeyCredentialProvider":{"providerArn":"'"$provider"'","credentialLocation":"HEADER","credentialParameterName":"X-API-Key"}}}]')
for _ in $(seq 100); do
  status=$(control get-gateway-target --gateway-identifier "$gateway" --target-id "$id" --query status)
  [ "$status" = READY ] && break
  sleep 0.1
done
[ "$status" = READY ] || fail "the target is $status"

role agent "$service" >/dev/null
"$OUTCROP" deploy "$AGENT" --name librarian --role agent --env "GATEWAY=$gateway" --data "$DATA" >"$SCRATCH/deploy" 2>&1 || fail "$(cat "$SCRATCH/deploy")"
agent=$(control list-agent-runtimes --query 'agentRuntimes[0].agentRuntimeArn')

# The caller has a role, and no more rights than it needs.
caller=$(role caller '{"AWS":"'"$ACCOUNT"'"}')
aws iam create-user --user-name machine >/dev/null
aws iam put-user-policy --user-name machine --policy-name p --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"'"$caller"'"}]}'
read -r id secret < <(aws iam create-access-key --user-name machine --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text)
read -r id secret token < <(AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret aws sts assume-role --role-arn "$caller" --role-session-name story \
  --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
as_caller() { AWS_ACCESS_KEY_ID=$id AWS_SECRET_ACCESS_KEY=$secret AWS_SESSION_TOKEN=$token "$@"; }
ask() {
  echo '{"prompt":"granite"}' >"$SCRATCH/ask"
  as_caller aws bedrock-agentcore invoke-agent-runtime --agent-runtime-arn "$agent" --content-type application/json --payload "fileb://$SCRATCH/ask" "$SCRATCH/answer" >"$SCRATCH/said" 2>&1 &&
    grep '^data: "web___search: ' "$SCRATCH/answer" # the agent tells failures in its stream, too
}

! ask >/dev/null || fail "a role without rights called the agent"
grep -q "bedrock-agentcore:InvokeAgentRuntime" "$SCRATCH/said" || fail "$(cat "$SCRATCH/said")"
allow caller invoke '"bedrock-agentcore:InvokeAgentRuntime"' '["'"$agent"'","'"$agent"'/*"]'
! ask >/dev/null || fail "an agent without rights called the gateway"
allow agent gateway '"bedrock-agentcore:InvokeGateway"' '"arn:aws:bedrock-agentcore:*:'"$ACCOUNT"':gateway/'"$gateway"'"'
ask || fail "$(cat "$SCRATCH/said" "$SCRATCH/answer") $("$OUTCROP" logs librarian --data "$DATA")"
