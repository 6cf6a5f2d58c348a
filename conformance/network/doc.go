// Package network holds the real program to what an operator has opened: agents in
// real sandboxes, on a machine with a private network that is played by another
// network namespace.
package network
