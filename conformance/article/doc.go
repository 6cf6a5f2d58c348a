// Package article runs what an article on gateways prints, as it prints it: the starter
// toolkit's own client makes a user pool, a gateway and a Lambda target, and an agent
// calls the tools. All of it names hosts of AWS's. So the test has a network and a
// hosts file of its own, in which they lead to the server under test.
package article
