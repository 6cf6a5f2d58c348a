// Package protocols holds the data plane to what each protocol's clients are told
// when agents misbehave: real ones, in real sandboxes.
package protocols
