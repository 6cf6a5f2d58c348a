// Package cli is the command line of outcrop: one file a command.
//
// Every command but serve is a client. It finds a server through flags, the AWS
// variables of the shell or the per-user state file, speaks to it with the AWS
// SDK, and where AWS has no operation with our own signed API; so the client
// half builds on every platform. What a script wants goes to standard output,
// what a person wants to know on the way goes to standard error.
//
// The package reads the environment, as one of the two that may (AGENTS.md), and
// builds nothing of the server: what serve and doctor need is passed in.
package cli
