// Package backup has the real program back up a server that is at work, restores
// the archive elsewhere, and wants everything there to answer.
package backup
