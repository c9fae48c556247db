package app

import "runtime"

// TakeHeadroom makes the garbage collector run less often, for up to 128 MiB of
// memory, until release is called. It is for the main function of a process.
//
// What it takes is address space that is never touched. The collector counts it
// as alive, and so starts only after about as much again has been allocated: a
// process here keeps a few megabytes alive and makes hundreds a second. A higher
// GOGC would do the same, but an intake that does keep much alive would then
// take several times that.
func TakeHeadroom() (release func()) {
	space := make([]byte, 64<<20)
	return func() { runtime.KeepAlive(space) }
}
