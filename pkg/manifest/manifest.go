// Package manifest reads the objects of YAML and JSON files, folders and standard input,
// and knows the file and line that each of them came from.
//
// It reads what "kubectl apply -f" reads, in the same way: streams of several documents,
// lists, YAML 1.1 scalars. It is stricter where kubectl guesses: a key that is there twice
// is an error, because one of the two values would silently not be judged.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Stdin is the path that stands for standard input.
const Stdin = "-"

// maxSize is the most that is read of one file, in bytes. etcd takes objects of up to 1.5
// MiB and a VirtualService of a shared gateway has 1 to 5 KiB, so that ten thousand of
// them, exported into one list, fit with room to spare; what is larger is no manifest, and
// parsing it would take memory of some twenty times its size.
const maxSize = 64 << 20

// maxFaults is how many faults are reported: nobody reads more, and a large file that is no
// manifest at all can have millions.
const maxFaults = 1000

// defaultNamespace is where kubectl puts an object without a namespace.
const defaultNamespace = "default"

// Document is one object as it was found in a file.
type Document struct {
	// API and Object are set when Known is true: the object is of a kind, in a version,
	// that resource.APIs has. Other objects are listed as well, for the caller to pass
	// over.
	API   resource.API
	Known bool
	// APIVersion, KindName and Name are as written. Name is empty for an object with a
	// generateName.
	APIVersion, KindName, Name string
	// Namespace is as written, except that an object of a known and namespaced kind
	// without one is in "default", as kubectl would have it. Raw and Object say the same.
	Namespace string
	// Raw is the object as JSON.
	Raw []byte
	// Object is the decoded object. The Source of its metadata is "FILE:LINE".
	Object resource.Object
	// File is the path as it was given, or the path of a folder that was given joined with
	// that of the file inside of it; "stdin" for standard input.
	File string
	// Line is the line on which the object starts, counted from 1 and without comments
	// and document markers before it.
	Line int
}

// Error says what is wrong at a place in a file.
type Error struct {
	// File is as in Document.
	File string
	// Line is counted from 1; 0 means that the file as a whole is meant, or that the
	// parser did not say.
	Line int
	// Detail says what is wrong and how to fix it, in one line.
	Detail string
}

// Error is "FILE:LINE: DETAIL", or "FILE: DETAIL" without a line.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Detail
	}
	return position(e.File, e.Line) + ": " + e.Detail
}

func position(file string, line int) string { return file + ":" + strconv.Itoa(line) }

// Read reads the objects of every path, in the order of the paths. A path is a file of any
// name, a folder, of which every *.yaml, *.yml and *.json file is read, ordered by path
// and with its subfolders but without what is hidden, or "-" for stdin.
//
// When something cannot be read, the result is an error that joins an *Error for each
// fault of the run, one per line, and no document.
func Read(paths []string, stdin io.Reader) ([]Document, error) {
	r := reader{stdin: stdin}
	for _, path := range paths {
		if r.full() {
			break
		}
		r.path(path)
	}
	if len(r.faults) > 0 {
		return nil, errors.Join(r.faults...)
	}
	return r.documents, nil
}

// reader collects documents and faults.
type reader struct {
	stdin     io.Reader
	stdinRead bool
	documents []Document
	faults    []error
}

// fault notes what is wrong. What a parser or the operating system says may have line
// breaks, and a fault is one line.
func (r *reader) fault(file string, line int, format string, args ...any) {
	detail := strings.NewReplacer("\r", " ", "\n", " ").Replace(fmt.Sprintf(format, args...))
	r.faults = append(r.faults, &Error{File: file, Line: line, Detail: detail})
}

// full reports whether there are so many faults that no more will be read. It says so in
// the last of them.
func (r *reader) full() bool {
	if len(r.faults) < maxFaults {
		return false
	}
	if len(r.faults) == maxFaults {
		r.fault("…", 0, "there are more than %d faults; correct these first", maxFaults)
	}
	return true
}

// path reads a path as the caller of Read gave it.
func (r *reader) path(path string) {
	if path == Stdin {
		r.standardInput()
		return
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fault(path, 0, "no such file or folder; check the path")
	case err != nil:
		r.unreadable(path, err)
	case info.IsDir():
		r.folder(path)
	default:
		r.file(path)
	}
}

func (r *reader) standardInput() {
	const name = "stdin"
	if r.stdinRead || r.stdin == nil {
		r.fault(name, 0, `there is nothing left to read; name "-" only once`)
		return
	}
	r.stdinRead = true
	r.content(name, r.stdin)
}

// folder reads the manifests of a folder.
func (r *reader) folder(root string) {
	var files []string
	// os.DirFS rather than filepath.WalkDir, which would not enter a folder that is itself
	// a symbolic link.
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		full := filepath.Join(root, filepath.FromSlash(path))
		switch {
		case err != nil:
			r.unreadable(full, err)
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == ".":
			return nil
		case strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || !isManifest(path):
			return nil
		}
		// A mounted ConfigMap has symbolic links to its files. Those to folders are not
		// followed: they can form a circle.
		if info, err := os.Stat(full); err != nil || info.Mode().IsRegular() {
			files = append(files, full) // a dangling link is reported when it is opened
		}
		return nil
	})
	if err != nil {
		r.unreadable(root, err)
		return
	}
	if len(files) == 0 {
		r.fault(root, 0, "the folder has no manifest; put .yaml, .yml or .json files into it, or name another one")
	}
	slices.Sort(files)
	for _, f := range files {
		if r.full() {
			return
		}
		r.file(f)
	}
}

func isManifest(path string) bool {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

func (r *reader) file(path string) {
	f, err := os.Open(path)
	if err != nil {
		r.unreadable(path, err)
		return
	}
	r.content(path, f)
	if err := f.Close(); err != nil {
		r.unreadable(path, err)
	}
}

// content reads a file to its end and parses it.
func (r *reader) content(name string, from io.Reader) {
	data, err := io.ReadAll(io.LimitReader(from, maxSize+1))
	switch {
	case err != nil:
		r.unreadable(name, err)
	case len(data) > maxSize:
		r.fault(name, 0, "is larger than %d MiB; split the file", maxSize>>20)
	default:
		r.parse(name, data)
	}
}

// unreadable notes an error of the operating system, without the path that it repeats.
func (r *reader) unreadable(path string, err error) {
	var detailed *fs.PathError
	if errors.As(err, &detailed) {
		err = detailed.Err
	}
	r.fault(path, 0, "cannot be read: %s; check the path and its permissions", err)
}
