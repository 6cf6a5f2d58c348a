package cli

import (
	"context"
	"time"

	"golang.org/x/sys/windows"
)

// lookEvery is how often the size of a console is looked at: Windows tells of a
// change only those who read its events in place of its keys.
const lookEvery = 250 * time.Millisecond

// Resized implements Console.
func (c *console) Resized(ctx context.Context) <-chan struct{} {
	resized := make(chan struct{}, 1)
	go func() {
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		columns, rows := c.Size()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if w, h := c.Size(); w != columns || h != rows {
				columns, rows = w, h
				select {
				case resized <- struct{}{}:
				default: // one is waiting
				}
			}
		}
	}()
	return resized
}

// understandSequences has a console of before Windows Terminal do what control
// sequences say.
func understandSequences(out int) (restore func(), err error) {
	handle := windows.Handle(out)
	var was uint32
	if err := windows.GetConsoleMode(handle, &was); err != nil {
		return nil, err
	}
	const mode = windows.ENABLE_PROCESSED_OUTPUT | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING | windows.DISABLE_NEWLINE_AUTO_RETURN
	if err := windows.SetConsoleMode(handle, was|mode); err != nil {
		return nil, err
	}
	return func() { _ = windows.SetConsoleMode(handle, was) }, nil // it is as good as before without
}
