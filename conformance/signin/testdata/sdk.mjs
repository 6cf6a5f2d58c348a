// The TypeScript SDK, of the line that the second argument says: signs in by itself, calls,
// and goes on when its token has expired.
import { createServer } from 'node:http'

const [gateway, line] = process.argv.slice(2)
const say = (what) => console.log(JSON.stringify(what))
const { Client, StreamableHTTPClientTransport, UnauthorizedError } = line === '1'
  ? { ...await import('@modelcontextprotocol/sdk/client/index.js'), ...await import('@modelcontextprotocol/sdk/client/streamableHttp.js'), ...await import('@modelcontextprotocol/sdk/client/auth.js') }
  : await import('@modelcontextprotocol/client')

let back
const returned = new Promise((resolve) => { back = resolve })
const server = createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html').end('<title>Back</title><p>You can close this page.')
  const at = new URL(request.url, 'http://127.0.0.1')
  if (at.pathname === '/callback') back(at.searchParams)
}).listen(0, '127.0.0.1')
await new Promise((resolve) => server.once('listening', resolve))
const redirectUrl = `http://127.0.0.1:${server.address().port}/callback`

class Provider {
  get redirectUrl() { return redirectUrl }
  get clientMetadata() {
    return { client_name: 'TypeScript SDK', redirect_uris: [redirectUrl], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' }
  }
  get clientMetadataUrl() { return process.env.CLIENT_URL }
  clientInformation() { return this.client }
  saveClientInformation(client) { this.client = client }
  tokens() { return this.kept }
  saveTokens(tokens) { this.kept = tokens }
  redirectToAuthorization(url) { say({ open: url.href }) }
  saveCodeVerifier(verifier) { this.verifier = verifier }
  codeVerifier() { return this.verifier }
  state() { return 'a state' }
}
const authProvider = new Provider()
const connect = async () => {
  const transport = new StreamableHTTPClientTransport(new URL(gateway), { authProvider })
  const client = new Client({ name: 'typescript', version: '1' })
  try {
    await client.connect(transport)
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error
    const query = await returned
    if (!query.has('code')) throw new Error(query.get('error'))
    await transport.finishAuth(line === '1' ? query.get('code') : query)
    return connect()
  }
  return client
}
const use = async () => {
  const client = await connect()
  say({ tools: (await client.listTools()).tools.map((t) => t.name) })
  const called = await client.callTool({ name: 'stones___find', arguments: { word: 'granite' } })
  say({ called: called.content[0].text })
  await client.close()
}
try {
  await use()
  const first = authProvider.kept.access_token
  authProvider.kept = { ...authProvider.kept, access_token: first.slice(0, -8) } // as good as one that has expired
  await use()
  say({ refreshed: authProvider.kept.access_token !== first })
} catch (error) {
  say({ failed: String(error) })
}
server.close()
server.closeAllConnections()
