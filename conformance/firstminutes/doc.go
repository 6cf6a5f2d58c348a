// Package firstminutes tests what somebody meets who has just got Outcrop: on a
// machine that lacks something, with a shell that is set up for something else,
// with somebody else's data, disk, clock or Python. It runs the real program and
// the real scripts; its tests are the whole of it.
package firstminutes
