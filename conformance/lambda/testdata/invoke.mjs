// Functions by the SDK of JavaScript v3.
import assert from "node:assert";
import {
  CreateFunctionCommand, DeleteFunctionCommand, InvokeCommand, InvokeWithResponseStreamCommand, LambdaClient, ResourceNotFoundException,
  waitUntilFunctionActiveV2,
} from "@aws-sdk/client-lambda";
import { readFileSync } from "node:fs";

const client = new LambdaClient({});
const name = "javascript";
const made = await client.send(new CreateFunctionCommand({
  FunctionName: name, Runtime: "nodejs22.x", Handler: "index.handler", Role: process.argv[3], Code: { ZipFile: readFileSync(process.argv[2]) },
}));
assert.equal(made.State, "Pending");
await waitUntilFunctionActiveV2({ client, maxWaitTime: 60 }, { FunctionName: name });
const out = await client.send(new InvokeCommand({ FunctionName: name, Payload: JSON.stringify({ a: 1 }), LogType: "Tail" }));
assert.equal(out.StatusCode, 200);
assert.deepEqual(JSON.parse(Buffer.from(out.Payload).toString()), { a: 1 });
assert.match(Buffer.from(out.LogResult, "base64").toString(), /^START RequestId: /);
const streamed = await client.send(new InvokeWithResponseStreamCommand({ FunctionName: name, Payload: JSON.stringify({ b: 2 }) }));
let text = "";
let ended = false;
for await (const event of streamed.EventStream) {
  if (event.PayloadChunk) text += Buffer.from(event.PayloadChunk.Payload).toString();
  if (event.InvokeComplete) ended = true;
}
assert.deepEqual(JSON.parse(text), { b: 2 });
assert.ok(ended);
await client.send(new DeleteFunctionCommand({ FunctionName: name }));
await assert.rejects(client.send(new InvokeCommand({ FunctionName: name })), (e) => e instanceof ResourceNotFoundException && /Function not found: arn:aws:lambda/.test(e.message));
console.log("told");
