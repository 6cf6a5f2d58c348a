// Who an agent is and what it may do, by the AWS SDK for JavaScript v3, told as
// one line of JSON for each line that is read.
import { createInterface } from 'node:readline'
import { BedrockAgentCoreControlClient, ListAgentRuntimesCommand } from '@aws-sdk/client-bedrock-agentcore-control'
import { BedrockAgentCoreClient, InvokeAgentRuntimeCommand } from '@aws-sdk/client-bedrock-agentcore'
import { S3Client, ListBucketsCommand, GetObjectCommand } from '@aws-sdk/client-s3'
import { STSClient, GetCallerIdentityCommand } from '@aws-sdk/client-sts'

const control = new BedrockAgentCoreControlClient({})
const data = new BedrockAgentCoreClient({})
const s3 = new S3Client({ forcePathStyle: true })
const sts = new STSClient({})

async function refusal(client, command) {
  try {
    await client.send(command)
  } catch (e) {
    return [e.name, e.$metadata?.httpStatusCode, e.message]
  }
  return null
}

for await (const _ of createInterface({ input: process.stdin })) {
  const { Account, Arn, UserId } = await sts.send(new GetCallerIdentityCommand({}))
  const agentRuntimeArn = `arn:aws:bedrock-agentcore:${await control.config.region()}:${Account}:runtime/hello-0123456789`
  console.log(JSON.stringify({
    Account, Arn, UserId, Key: (await sts.config.credentials()).accessKeyId,
    Refused: [
      await refusal(control, new ListAgentRuntimesCommand({})),
      await refusal(data, new InvokeAgentRuntimeCommand({ agentRuntimeArn, payload: '{}' })),
      await refusal(s3, new ListBucketsCommand({})),
      await refusal(s3, new GetObjectCommand({ Bucket: 'code', Key: 'agent.zip' })),
    ],
  }))
}
