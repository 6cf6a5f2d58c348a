package http1

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// silent is a socket on which nothing comes.
type silent struct{ syscall.RawConn }

// TestSweep: what is idle for too long is closed, by itself, and nothing runs then.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{max: 2, timeout: 4 * time.Second, byAddress: map[string][]*conn{}}
		open := func() (*conn, <-chan struct{}) {
			near, far := net.Pipe()
			ended := make(chan struct{})
			go func() {
				_, _ = far.Read(make([]byte, 1))
				far.Close()
				close(ended)
			}()
			c := newConn(near, "a:80", p, 1<<10)
			c.raw = silent{}
			return c, ended
		}
		closed := func(c <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		first, firstEnds := open()
		second, secondEnds := open()
		third, thirdEnds := open()
		p.put(first)
		time.Sleep(3 * time.Second)
		p.put(second)
		p.put(third)
		if closed(firstEnds) || closed(secondEnds) || !closed(thirdEnds) {
			t.Error("two are kept, and one is too many")
		}
		time.Sleep(time.Second)
		if !closed(firstEnds) || closed(secondEnds) {
			t.Error("only the first is idle for too long")
		}
		time.Sleep(3 * time.Second) // the second has its time then, whenever the last look was
		ended := closed(secondEnds) // and nobody waits for the lock any more
		p.mu.Lock()
		defer p.mu.Unlock()
		if !ended || len(p.byAddress) > 0 || p.sweeping {
			t.Error("something is left")
		}
	})
}
