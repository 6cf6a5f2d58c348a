// Package hostile has targets and issuers of a gateway lead where they must not, and be
// served by those who mean harm: the real program, on a machine whose networks are played
// by another network namespace. Nobody is reached who must not be, what a caller reads says
// why, and other targets go on.
package hostile
