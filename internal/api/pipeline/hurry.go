package pipeline

import (
	"net/http"
	"time"
)

// strangerPatience is how long the body of somebody who has not proven who they
// are may take. net/http reads a short one to its end before it answers, so that
// without a bound anybody could hold connections for ever; whoever has
// credentials may take their time.
const strangerPatience = 10 * time.Second

// hurry sets the deadline, by the connection's own clock. net/http sets another
// one before the next request. A writer without a connection has none.
func (e *exchange) hurry() {
	_ = http.NewResponseController(e.w).SetReadDeadline(time.Now().Add(strangerPatience))
}
