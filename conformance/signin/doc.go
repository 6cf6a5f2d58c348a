// Package signin has the clients that people have find, by the URL of a gateway alone, where
// to sign in, and call its tools: the MCP SDKs of Python and TypeScript, MCP Inspector,
// agents of LangGraph and Strands, and editors as they were seen to ask. People sign in with
// a real browser at pages of the server's own user pool.
package signin
