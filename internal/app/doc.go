// Package app wires fedsite together: configuration, store and clock become targets that the pipelines work on, and each
// piece of work becomes a task that one process runs at a time.
//
//	config → clock, store → register → target → task → report
//
// It decides nothing of its own: what is asked, counted or sent is said in the pipelines.
package app
