package ca

// Cached is how many leaves are kept.
func (a *Authority) Cached() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.leaves)
}
