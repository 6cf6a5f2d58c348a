// Package api holds what every call goes through: the generated models, the
// protocols, the validator and the pipeline.
package api

//go:generate go run ../../tools/apigen -root ../..
