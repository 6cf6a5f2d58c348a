// Package gateway keeps gateways and what stands behind them: targets, rules and rate
// limits (spec/gateway.md 1 to 4, 11, 12). Those that answer the callers of a gateway are
// in packages below, and read its View.
package gateway
