//go:build !unix

package http1

// quiet tells whether nothing has come since the last answer. Where that cannot be told
// no connection is used twice.
func (c *conn) quiet() bool { return false }
