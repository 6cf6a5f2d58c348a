// Package terminal holds commands, shells and WebSockets of the command line to
// their word: the real program at a real terminal, with an agent in a sandbox.
package terminal
