// Signs users in by SRP with the client that Amplify had: signin.mjs SERVER POOL CLIENT.
// What is not as it should be is an exception.
import assert from 'node:assert/strict'
import { AuthenticationDetails, CognitoUser, CognitoUserPool } from 'amazon-cognito-identity-js'

const [server, UserPoolId, ClientId] = process.argv.slice(2)
const kept = new Map()
const Storage = {
  setItem: (k, v) => kept.set(k, v), getItem: (k) => kept.get(k) ?? null, removeItem: (k) => kept.delete(k), clear: () => kept.clear(),
}
const Pool = new CognitoUserPool({ UserPoolId, ClientId, Storage, endpoint: server + '/' })

// call turns a function of callbacks into a promise.
const call = (object, name, ...args) =>
  new Promise((done, fail) => object[name](...args, (error, result) => (error ? fail(error) : done(result))))

function signIn(Username, Password, chosen) {
  const user = new CognitoUser({ Username, Pool, Storage })
  return new Promise((done, fail) => {
    const told = {
      onSuccess: (session) => done({ user, session }),
      onFailure: fail,
      newPasswordRequired: (attributes) => {
        assert.equal(attributes.email, 'bob@example.com')
        user.completeNewPasswordChallenge(chosen, {}, told)
      },
    }
    user.authenticateUser(new AuthenticationDetails({ Username, Password }), told)
  })
}

const refused = (what, code, text) => assert.rejects(what, (e) => {
  assert.equal(e.code ?? e.name, code, e.message)
  assert.match(e.message, text)
  return true
})

for (let i = 0; i < 12; i++) { // numbers of all lengths and signs
  const { user, session } = await signIn('Ada', 'Analytical-1')
  assert.equal(session.getIdToken().payload['cognito:username'], 'ada')
  assert.equal(user.getUsername(), 'ada')
}
await refused(signIn('ada', 'guess'), 'NotAuthorizedException', /^Incorrect username or password\.$/)
await refused(signIn('nobody', 'guess'), 'NotAuthorizedException', /^Incorrect username or password\.$/)

const { user } = await signIn('bob', 'Temp-0rary', 'Brilliant-1')
const found = Object.fromEntries((await call(user, 'getUserAttributes')).map((a) => [a.getName(), a.getValue()]))
assert.equal(found.email, 'bob@example.com')
await call(user, 'changePassword', 'Brilliant-1', 'Brilliant-2')
await refused(signIn('bob', 'Brilliant-1'), 'NotAuthorizedException', /Incorrect/)
const again = await signIn('bob', 'Brilliant-2')
const fresh = await call(again.user, 'refreshSession', again.session.getRefreshToken())
assert.notEqual(fresh.getAccessToken().getJwtToken(), again.session.getAccessToken().getJwtToken())
await new Promise((onSuccess, onFailure) => again.user.globalSignOut({ onSuccess, onFailure }))
await refused(call(again.user, 'refreshSession', again.session.getRefreshToken()), 'NotAuthorizedException', /Refresh Token/)
console.log('signed in')
