// Package netns has tests run where the network is theirs: in network and mount
// namespaces of their own, beside others whose addresses they choose. Linux alone.
package netns
