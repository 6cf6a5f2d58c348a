"""A gateway whose interceptor sees what passes to HTTP and inference targets: it chooses models, sets who asks, and masks answers."""

import base64
import http.server
import json
import threading
import urllib.error
import urllib.request

import boto3

import kit

HOOK = '''
import base64, json

def lambda_handler(event, context):
    http = event["http"]
    custom = context.client_context.custom
    if "gatewayResponse" in http:
        answer = http["gatewayResponse"]
        text = base64.b64decode(answer["body"]).decode()
        if "secret" not in text:
            return {"interceptorOutputVersion": "1.0", "http": {}}
        body = base64.b64encode(text.replace("secret", "***").encode()).decode()
        return {"interceptorOutputVersion": "1.0", "http": {"transformedGatewayResponse": {
            "statusCode": 203, "headers": {"X-Was": answer["contentType"]}, "body": body}}}
    request = http["gatewayRequest"]
    if request["path"] == "/api/closed":
        body = base64.b64encode(json.dumps({"from": custom["SOURCE_IP"], "at": custom["GATEWAY_ARN"][-10:]}).encode()).decode()
        return {"interceptorOutputVersion": "1.0", "http": {"transformedGatewayResponse": {
            "statusCode": 403, "contentType": "application/json", "body": body}}}
    if request["path"] == "/api/broken":
        raise RuntimeError("the interceptor fails")
    if request["path"].startswith("/inference/"):
        asked = json.loads(base64.b64decode(request["body"]))
        asked["model"] = "small"
        body = base64.b64encode(json.dumps(asked).encode()).decode()
        return {"interceptorOutputVersion": "1.0", "http": {"transformedGatewayRequest": {"body": body}}}
    headers = {"X-Tenant": "of " + request["headers"]["X-User"], "Authorization": "Bearer theirs"}
    return {"interceptorOutputVersion": "1.0", "http": {"transformedGatewayRequest": {"headers": headers}}}
'''


class Upstream(http.server.BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        host = self.headers["Host"].split(":")[0]
        said = f"{host}{self.path} {body} {self.headers['X-Tenant']} {self.headers['Authorization'].split()[0]}"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *args):
        pass


upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=upstream.serve_forever, daemon=True).start()
at = f"http://127.0.0.1:{upstream.server_port}"

control = boto3.client("bedrock-agentcore-control")
role = kit.role("web", "lambda:InvokeFunction", services=("lambda", "bedrock-agentcore"))
hook = kit.function("webhook", HOOK, role)
gateway = control.create_gateway(
    name="web",
    roleArn=role,
    authorizerType="NONE",
    interceptorConfigurations=[
        {
            "interceptor": {"lambda": {"arn": hook}},
            "interceptionPoints": ["REQUEST", "RESPONSE"],
            "inputConfiguration": {"passRequestHeaders": True},
        }
    ],
)
kit.settled(lambda: control.get_gateway(gatewayIdentifier=gateway["gatewayId"]))
managed = {"vpcIdentifier": "vpc-01234567", "subnetIds": ["subnet-01234567"], "endpointIpAddressType": "IPV4", "routingDomain": "localhost"}
lattice = {"resourceConfigurationIdentifier": "rcfg-0123456789abcdef0"}
role_signs = {"credentialProviderType": "GATEWAY_IAM_ROLE", "credentialProvider": {"iamCredentialProvider": {"service": "models"}}}
for name, configuration, more in (
    ("api", {"http": {"passthrough": {"endpoint": at, "protocolType": "CUSTOM"}}}, {"metadataConfiguration": {"allowedRequestHeaders": ["X-Tenant"]}}),
    (
        "routed",
        {"http": {"passthrough": {"endpoint": at.replace("127.0.0.1", "orders.office.example"), "protocolType": "CUSTOM"}}},
        {"privateEndpoint": {"managedVpcResource": managed}},
    ),
    (
        "lattice",
        {"http": {"passthrough": {"endpoint": at.replace("127.0.0.1", "stock.office.example"), "protocolType": "CUSTOM"}}},
        {"privateEndpoint": {"selfManagedLatticeResource": lattice}},
    ),
    (
        "models",
        {"inference": {"provider": {"endpoint": at, "operations": [{"path": "/v1/chat/completions", "models": [{"model": "small"}]}]}}},
        {"credentialProviderConfigurations": [role_signs]},
    ),
):
    target = control.create_gateway_target(gatewayIdentifier=gateway["gatewayId"], name=name, targetConfiguration=configuration, **more)
    got = kit.settled(lambda: control.get_gateway_target(gatewayIdentifier=gateway["gatewayId"], targetId=target["targetId"]))
    assert got.get("privateEndpoint") == more.get("privateEndpoint"), got


def ask(path, body):
    headers = {"Content-Type": "application/json", "X-User": "ann", "X-Tenant": "forged"}
    request = urllib.request.Request(gateway["gatewayUrl"] + path, data=body.encode(), headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["X-Was"], answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, None, e.read().decode()


print("passed", *ask("/api/open", "hello"))
print("masked", *ask("/api/open", "my secret"))
status, _, body = ask("/api/closed", "hello")
print("closed", status, json.loads(body) == {"from": "127.0.0.1", "at": gateway["gatewayId"][-10:]})
status, _, body = ask("/api/broken", "hello")
print("broken", status, "RuntimeError" in body)
print("routed", *ask("/routed/x", "hello"))
print("lattice", *ask("/lattice/x", "hello"))
print("model", *ask("/inference/v1/chat/completions", '{"model": "auto"}'))
