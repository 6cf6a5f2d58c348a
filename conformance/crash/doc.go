// Package crash holds the program against its promise of what survives and of what
// is not left: kill -9 under a mixed workload, which keeps keys, secrets, users and
// API keys too, and under sessions that store, hibernate and wake, an orderly stop
// with streams running, many sessions one after the other and a thousand that
// hibernate, a full disk; and that one session reads nothing of the host or of
// another.
//
// OUTCROP_CRASH_SEED repeats a run's choices, OUTCROP_NIGHTLY=1 makes runs long.
// OUTCROP_SOAK=5m and OUTCROP_HIBERNATED=100 run two of the long ones at another
// length.
package crash
