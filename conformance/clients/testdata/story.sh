#!/usr/bin/env bash
# The story of an agent, by the AWS CLI. It runs no command in the session: the CLI
# leaves out operations that answer with event streams. Arguments: the zip, the
# runtime.
set -euo pipefail
zip=$1 runtime=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
control() { aws bedrock-agentcore-control "$@" --output json; }
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v=v[k]
print(v)' "$1"; }
fail() { echo "story.sh: $*" >&2; exit 1; }

account=$(aws sts get-caller-identity --output json | field Account)
aws s3 mb s3://story-cli
aws s3 cp --only-show-errors "$zip" s3://story-cli/hello.zip
aws s3 ls s3://story-cli | grep -q hello.zip || fail "the zip is not listed"
artifact='{"codeConfiguration":{"code":{"s3":{"bucket":"story-cli","prefix":"hello.zip"}},"runtime":"'$runtime'","entryPoint":["main.py"]}}'
role=arn:aws:iam::$account:role/outcrop-default
network='{"networkMode":"PUBLIC"}'

control create-agent-runtime --agent-runtime-name story_cli --agent-runtime-artifact "$artifact" --role-arn "$role" \
  --network-configuration "$network" >"$work/created"
id=$(field agentRuntimeId <"$work/created") arn=$(field agentRuntimeArn <"$work/created")

await() {
  for _ in $(seq 150); do
    status=$(control get-agent-runtime --agent-runtime-id "$id" | field status)
    [ "$status" = "$1" ] && return
    case $status in *FAILED) fail "the runtime is $status" ;; esac
    sleep 0.2
  done
  fail "the runtime is $status, want $1"
}
await READY

session=story-cli-session-0123456789-0123456789
say() {
  printf '{"prompt":"%s"}' "$1" >"$work/payload"
  aws bedrock-agentcore invoke-agent-runtime --agent-runtime-arn "$arn" --runtime-session-id "$session" \
    --payload "fileb://$work/payload" "$work/answer" >/dev/null
  sed -n 's/^data: "\(.*\)"$/\1/p' "$work/answer" | tr -d '\n'
}
[ "$(say 'add 19 and 23')" = '19 + 23 is 42. ' ] || fail "the answer does not depend on the prompt"
say remember | grep -q 'add 19 and 23' || fail "the session has no memory"
aws bedrock-agentcore stop-runtime-session --agent-runtime-arn "$arn" --runtime-session-id "$session" >/dev/null
say remember | grep -q nothing || fail "a stopped session remembers"

control update-agent-runtime --agent-runtime-id "$id" --agent-runtime-artifact "$artifact" --role-arn "$role" \
  --network-configuration "$network" --description second | field agentRuntimeVersion | grep -qx 2 || fail "no version 2"
await READY
endpoint() { control get-agent-runtime-endpoint --agent-runtime-id "$id" --endpoint-name prod; }
rolled() {
  for _ in $(seq 150); do
    endpoint >"$work/endpoint"
    [ "$(field status <"$work/endpoint") $(field liveVersion <"$work/endpoint" 2>/dev/null)" = "READY $1" ] && return
    sleep 0.2
  done
  fail "the endpoint is $(cat "$work/endpoint"), want version $1"
}
control create-agent-runtime-endpoint --agent-runtime-id "$id" --name prod --agent-runtime-version 1 --tags stage=prod >/dev/null
rolled 1
control update-agent-runtime-endpoint --agent-runtime-id "$id" --endpoint-name prod --agent-runtime-version 2 >/dev/null
rolled 2
aws bedrock-agentcore invoke-agent-runtime --agent-runtime-arn "$arn" --qualifier prod --runtime-session-id "$session" \
  --payload "fileb://$work/payload" "$work/answer" >/dev/null
control list-tags-for-resource --resource-arn "$(field agentRuntimeEndpointArn <"$work/endpoint")" | field tags.stage | grep -qx prod || fail "no tag"
control delete-agent-runtime --agent-runtime-id "$id" >/dev/null 2>"$work/refused" && fail "a runtime with an endpoint was deleted"
grep -q ConflictException "$work/refused" || fail "$(cat "$work/refused")"
control delete-agent-runtime-endpoint --agent-runtime-id "$id" --endpoint-name prod >/dev/null
for _ in $(seq 150); do
  endpoint >/dev/null 2>"$work/gone" || break
  sleep 0.2
done
grep -q ResourceNotFoundException "$work/gone" || fail "the endpoint is still there"
control delete-agent-runtime --agent-runtime-id "$id" >/dev/null
for _ in $(seq 150); do
  control get-agent-runtime --agent-runtime-id "$id" >/dev/null 2>"$work/gone" || break
  sleep 0.2
done
grep -q ResourceNotFoundException "$work/gone" || fail "the runtime is still there"
echo "story told"
