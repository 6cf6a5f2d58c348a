// The story of an agent, by the AWS SDK for JavaScript v3. Arguments: the zip,
// the runtime.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { Agent } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import * as control from '@aws-sdk/client-bedrock-agentcore-control'
import * as data from '@aws-sdk/client-bedrock-agentcore'
import { S3Client, CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { STSClient, GetCallerIdentityCommand } from '@aws-sdk/client-sts'

const [zip, runtime] = process.argv.slice(2)
// The SDK makes an agent of its own, which takes a proxy only when it is told to.
const proxied = process.env.HTTPS_PROXY ? { requestHandler: { httpsAgent: new Agent({ proxyEnv: process.env }) } } : {}
const c = new control.BedrockAgentCoreControlClient(proxied)
const d = new data.BedrockAgentCoreClient(proxied)
const s3 = new S3Client(proxied)
const { Account } = await new STSClient(proxied).send(new GetCallerIdentityCommand({}))

await s3.send(new CreateBucketCommand({ Bucket: 'story-js' }))
await s3.send(new PutObjectCommand({ Bucket: 'story-js', Key: 'hello.zip', Body: readFileSync(zip) }))
const config = {
  agentRuntimeArtifact: { codeConfiguration: { code: { s3: { bucket: 'story-js', prefix: 'hello.zip' } }, runtime, entryPoint: ['main.py'] } },
  roleArn: `arn:aws:iam::${Account}:role/outcrop-default`,
  networkConfiguration: { networkMode: 'PUBLIC' },
}
const { agentRuntimeId, agentRuntimeArn } = await c.send(new control.CreateAgentRuntimeCommand({ agentRuntimeName: 'story_js', ...config }))

async function settled() {
  for (let i = 0; i < 150; i++) {
    const got = await c.send(new control.GetAgentRuntimeCommand({ agentRuntimeId }))
    if (!['CREATING', 'UPDATING'].includes(got.status)) return got
    await pause(200)
  }
  assert.fail('the runtime did not settle')
}
assert.equal((await settled()).status, 'READY')

async function say(runtimeSessionId, prompt) {
  const answer = await d.send(new data.InvokeAgentRuntimeCommand({ agentRuntimeArn, runtimeSessionId, payload: JSON.stringify({ prompt }) }))
  const text = await answer.response.transformToString()
  return text.split('\n').filter((l) => l.startsWith('data: ')).map((l) => JSON.parse(l.slice(6))).join('')
}
const session = randomUUID()
assert.equal((await say(session, 'add 19 and 23')).trim(), '19 + 23 is 42.')
assert.match(await say(session, 'remember'), /add 19 and 23/)
const ran = await d.send(new data.InvokeAgentRuntimeCommandCommand({
  agentRuntimeArn, runtimeSessionId: session, body: { command: "printf 'hello from '; printf bash; exit 3" } }))
let said = '', stopped
for await (const { chunk } of ran.stream) {
  said += chunk.contentDelta?.stdout ?? ''
  stopped = chunk.contentStop
}
assert.equal(said, 'hello from bash')
assert.deepEqual({ ...stopped }, { exitCode: 3, status: 'COMPLETED' })
await d.send(new data.StopRuntimeSessionCommand({ agentRuntimeArn, runtimeSessionId: session }))
assert.match(await say(session, 'remember'), /nothing/)
await assert.rejects(d.send(new data.StopRuntimeSessionCommand({ agentRuntimeArn, runtimeSessionId: randomUUID() })), data.ResourceNotFoundException)

const updated = await c.send(new control.UpdateAgentRuntimeCommand({ agentRuntimeId, description: 'second', ...config }))
assert.equal(updated.agentRuntimeVersion, '2')
assert.equal((await settled()).description, 'second')
const prod = { agentRuntimeId, endpointName: 'prod' }
async function rolled() {
  for (let i = 0; i < 150; i++) {
    const got = await c.send(new control.GetAgentRuntimeEndpointCommand(prod))
    if (!['CREATING', 'UPDATING'].includes(got.status)) return got
    await pause(200)
  }
  assert.fail('the endpoint did not settle')
}
await c.send(new control.CreateAgentRuntimeEndpointCommand({ agentRuntimeId, name: 'prod', agentRuntimeVersion: '1' }))
assert.equal((await rolled()).liveVersion, '1')
await c.send(new control.UpdateAgentRuntimeEndpointCommand({ ...prod, agentRuntimeVersion: '2' }))
const { status, liveVersion } = await rolled()
assert.deepEqual({ status, liveVersion }, { status: 'READY', liveVersion: '2' })
const pinned = await d.send(new data.InvokeAgentRuntimeCommand({ agentRuntimeArn, qualifier: 'prod', runtimeSessionId: randomUUID(), payload: '{"prompt":"hi"}' }))
assert.match(await pinned.response.transformToString(), /Hello/)
await assert.rejects(c.send(new control.DeleteAgentRuntimeCommand({ agentRuntimeId })), control.ConflictException)
await c.send(new control.DeleteAgentRuntimeEndpointCommand(prod))
await assert.rejects(async () => {
  for (;;) {
    await c.send(new control.GetAgentRuntimeEndpointCommand(prod))
    await pause(200)
  }
}, control.ResourceNotFoundException)
await c.send(new control.DeleteAgentRuntimeCommand({ agentRuntimeId }))
for (let i = 0; ; i++) {
  try {
    await c.send(new control.GetAgentRuntimeCommand({ agentRuntimeId }))
    assert.ok(i < 150, 'the runtime is still there')
    await pause(200)
  } catch (e) {
    assert.ok(e instanceof control.ResourceNotFoundException, e)
    break
  }
}
console.log('story told')
