# Makes a gateway and a target of an OpenAPI document, by the AWS CLI.
set -euo pipefail
control() { "$AWS" bedrock-agentcore-control "$@"; }
trust='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock-agentcore.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
role=$("$AWS" iam create-role --role-name gateway --assume-role-policy-document "$trust" --query Role.Arn --output text)
id=$(control create-gateway --name cli --role-arn "$role" --protocol-type MCP --authorizer-type NONE --query gatewayId --output text)
for _ in $(seq 50); do
  [ "$(control get-gateway --gateway-identifier "$id" --query status --output text)" = READY ] && break
done
target=$(control create-gateway-target --gateway-identifier "$id" --target-configuration \
  '{"mcp":{"openApiSchema":{"inlinePayload":"{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\"servers\":[{\"url\":\"https://api.example.com\"}],\"paths\":{\"/pets\":{\"get\":{\"operationId\":\"listPets\",\"responses\":{\"200\":{\"description\":\"ok\"}}}}}}"}}}' \
  --query targetId --output text)
for _ in $(seq 50); do
  [ "$(control get-gateway-target --gateway-identifier "$id" --target-id "$target" --query status --output text)" = READY ] && break
done
control list-gateway-targets --gateway-identifier "$id" --query 'items[].[name,status,targetType]' --output text | grep -E '^target-[a-z0-9]{10}	READY	OPEN_API_SCHEMA$'
control list-gateway-rules --gateway-identifier "$id" --query 'length(gatewayRules)' | grep '^0$'
if control delete-gateway --gateway-identifier "$id" 2>/dev/null; then exit 1; fi
control delete-gateway-target --gateway-identifier "$id" --target-id "$target" --query status --output text | grep DELETING
control delete-gateway --gateway-identifier "$id" --query status --output text | grep DELETING
[ "$(control list-gateways --query 'length(items)')" = 0 ]
