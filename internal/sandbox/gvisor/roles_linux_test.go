package gvisor

// play is what a copy of the test program does instead of running tests.
func play(role string) int {
	return 2
}
