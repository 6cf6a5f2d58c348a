// Package crash holds the program against its promise of what survives: kill -9
// under a mixed workload, an orderly stop with streams running, many sessions
// one after the other, a full disk; and that one session reads nothing of the
// host or of another.
//
// OUTCROP_CRASH_SEED repeats a run's choices, OUTCROP_NIGHTLY=1 makes runs long.
package crash
