// Package load calls tools through a gateway at a fixed rate, for long: no call may fail,
// be lost or arrive twice, and the server may not grow. Beside the calls there are callers
// who list, begin and end sessions, use another kind of target, or hang up.
package load
