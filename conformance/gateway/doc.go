// Package gateway tests the control plane of gateways with the clients that people have:
// the AgentCore SDK, the starter toolkit, the AWS CLI; and kills the server at work. An agent
// calls a gateway as itself there, all the way to a service that wants a key.
package gateway
