// An OpenID Connect issuer: oidc-provider with its own pages for development, where
// anybody signs in by any name. It prints its URL.
import { createServer } from 'node:http'
import { exportJWK, generateKeyPair, jwtVerify } from 'jose'
import { Provider } from 'oidc-provider'

const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true })
const jwk = { ...(await exportJWK(privateKey)), kid: 'k1', use: 'sig', alg: 'RS256' }
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

const server = createServer()
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const issuer = `http://127.0.0.1:${server.address().port}`
const provider = new Provider(issuer, {
  jwks: { keys: [jwk] },
  scopes: ['openid', 'offline_access', 'api'],
  cookies: { keys: ['for tests alone'] },
  clients: [{ client_id: 'app', client_secret: 'app-secret', redirect_uris: ['http://127.0.0.1:1/app/back'] }],
  clientDefaults: { grant_types: ['authorization_code'], response_types: ['code'] },
  features: {
    clientCredentials: { enabled: true }, introspection: { enabled: true }, registration: { enabled: true }, revocation: { enabled: true },
    resourceIndicators: { enabled: false },
  },
  issueRefreshToken: async () => true,
  ttl: { AccessToken: 3600, ClientCredentials: 3600, Grant: 7200, IdToken: 3600, Interaction: 3600, RefreshToken: 7200, Session: 7200 },
})

// RFC 8693, as far as one issuer needs it: its own ID tokens for tokens of its API.
provider.registerGrantType(exchange, async (ctx) => {
  const { subject_token: subject, scope } = ctx.oidc.params
  const { payload } = await jwtVerify(subject, publicKey, { issuer })
  const { client } = ctx.oidc
  const grant = new provider.Grant({ accountId: payload.sub, clientId: client.clientId })
  grant.addOIDCScope(scope)
  const token = new provider.AccessToken({ accountId: payload.sub, client, gty: 'token-exchange', grantId: await grant.save(), scope })
  ctx.body = { access_token: await token.save(), expires_in: token.expiration, token_type: 'Bearer', scope }
}, ['subject_token', 'subject_token_type', 'scope'])

provider.on('server_error', (_, error) => console.error(error))
server.on('request', provider.callback())
console.log(issuer)
