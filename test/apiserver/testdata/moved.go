package time

import (
	"sync/atomic"
	"syscall"
	"unsafe"
)

// moved is by how many seconds the time of day is moved: what is in the file that the environment
// names, for as long as the process runs.
var moved = func() *int64 {
	path, named := syscall.Getenv("GATEWARDEN_TEST_CLOCK")
	if !named {
		return new(int64)
	}
	file, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		panic("opening " + path + ": " + err.Error())
	}
	defer func() { _ = syscall.Close(file) }()
	memory, err := syscall.Mmap(file, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		panic("mapping " + path + ": " + err.Error())
	}
	return (*int64)(unsafe.Pointer(unsafe.SliceData(memory)))
}()

// movedNow is runtimeNow with another time of day. The monotonic clock is as it is, as if somebody had
// set the machine's time.
func movedNow() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = runtimeNow()
	return sec + atomic.LoadInt64(moved), nsec, mono
}
