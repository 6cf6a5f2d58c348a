#!/usr/bin/env bash
# A function by the AWS CLI.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "story.sh: $*" >&2; exit 1; }
account=$(aws sts get-caller-identity --query Account --output text)
cat > app.py <<'PY'
def handler(event, context):
    print("said", event)
    return {"hello": event["name"]}
PY
python3 -c 'import zipfile; zipfile.ZipFile("f.zip", "w").write("app.py")'
aws lambda create-function --function-name cli --runtime python3.13 --handler app.handler --role "arn:aws:iam::$account:role/none" --zip-file fileb://f.zip > created.json
aws lambda wait function-active-v2 --function-name cli
aws lambda invoke --function-name cli --payload '{"name":"Ann"}' --log-type Tail out.json > invoked.json
grep -q '"hello": "Ann"' out.json || fail "$(cat out.json)"
python3 -c 'import base64, json; print(base64.b64decode(json.load(open("invoked.json"))["LogResult"]).decode())' > log.txt
grep -q "said {'name': 'Ann'}" log.txt || fail "the log is not shown"
aws lambda update-function-configuration --function-name cli --timeout 9 > /dev/null
aws lambda wait function-updated-v2 --function-name cli
test "$(aws lambda get-function --function-name cli --query Configuration.Timeout --output text)" = 9 || fail "the timeout is not changed"
aws lambda delete-function --function-name cli
aws lambda get-function --function-name cli 2> refused.txt && fail "it is still there"
grep -q ResourceNotFoundException refused.txt || fail "$(cat refused.txt)"
echo told
