package telemetry

// Waiting is how many audit records are in the queue.
func (d *DB) Waiting() int {
	d.queue.mu.Lock()
	defer d.queue.mu.Unlock()
	return len(d.queue.audits)
}
