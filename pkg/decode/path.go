package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// typeError makes an Error of a value that has the wrong JSON type. encoding/json names
// fields without the indices of lists, and so the path is looked up by the offset.
func typeError(raw []byte, e *json.UnmarshalTypeError) *Error {
	path, start := locate(raw, e.Offset)
	found := raw[start:]
	value := describe(found[0], found)
	hint := ""
	digits, quoted := strings.CutPrefix(value, "the string ")
	switch {
	case quoted && isNumber(e.Type) && strings.Trim(digits, `"0123456789`) == "":
		hint = "; remove the quotes"
	case e.Type.Kind() == reflect.String && found[0] != '{' && found[0] != '[':
		// YAML 1.1, which kubectl reads, has y, yes, on and the like for true.
		hint = "; put it in quotes"
	}
	return &Error{Field: path, Detail: fmt.Sprintf("must be %s, not %s%s", wanted(e.Type), value, hint)}
}

// portNumber is a port that must be given as a number. Having a type of its own lets
// wanted say what the number is for. The range is the business of checkPort.
type portNumber uint32

// wanted says in words which JSON a Go type is read from.
func wanted(t reflect.Type) string {
	if t == reflect.TypeFor[portNumber]() {
		return "a port number from 1 to 65535"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Int64:
		return "a whole number"
	case reflect.Uint32:
		return "a whole number from 0 to 4294967295"
	case reflect.Float64:
		return "a number of ordinary size"
	}
	return "an object"
}

func isNumber(t reflect.Type) bool { return t.Kind() == reflect.Int64 || t.Kind() == reflect.Uint32 }

// describe shows the JSON value that starts with first: scalars as they are, cut to a
// length that fits into a message.
func describe(first byte, value []byte) string {
	switch first {
	case '{':
		return "an object"
	case '[':
		return "a list"
	}
	// A token that cannot be read has been refused as a syntax error before.
	var scalar json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(value)).Decode(&scalar); err != nil {
		return "this"
	}
	const most = 64 // bytes, so that a message stays one line on a screen
	text := strings.ToValidUTF8(string(scalar[:min(len(scalar), most)]), "")
	if len(scalar) > most {
		text += "…"
	}
	if first == '"' {
		return "the string " + text
	}
	return text
}

// locate walks the tokens of valid JSON and returns the path of the last value that
// starts before offset, and where it starts. encoding/json reports a wrong scalar with
// the offset of its end, and a wrong list or object with that of its first byte or the
// next one: the last value that has been entered is the wrong one either way.
func locate(raw []byte, offset int64) (path string, start int64) {
	type level struct {
		list  bool
		index int    // of the element to come, in a list
		key   string // of the value to come, in an object
		named bool   // key was read, the value follows
	}
	var levels []level
	describePath := func() string {
		var b strings.Builder
		for _, l := range levels {
			switch {
			case l.list:
				b.WriteString("[" + strconv.Itoa(l.index) + "]")
			case !isIdentifier(l.key):
				b.WriteString("[" + strconv.Quote(l.key) + "]")
			default:
				if b.Len() > 0 {
					b.WriteByte('.')
				}
				b.WriteString(l.key)
			}
		}
		return b.String()
	}
	done := func() { // a value of the innermost level is complete
		if len(levels) == 0 {
			return
		}
		l := &levels[len(levels)-1]
		l.named = false
		if l.list {
			l.index++
		}
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // 1e999 is valid JSON, but no float64
	for {
		before := d.InputOffset()
		token, err := d.Token()
		if err != nil { // the end: whoever calls has made sure of the syntax
			return path, start
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			levels = levels[:len(levels)-1]
			done()
			continue
		}
		if n := len(levels); n > 0 && !levels[n-1].list && !levels[n-1].named {
			levels[n-1].key, levels[n-1].named = token.(string), true
			continue
		}
		for bytes.IndexByte([]byte(" \t\r\n,:"), raw[before]) >= 0 {
			before++
		}
		if before >= offset {
			return path, start
		}
		path, start = describePath(), before
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{})
		case json.Delim('['):
			levels = append(levels, level{list: true})
		default:
			done()
		}
	}
}

// isIdentifier reports whether a key can stand in a path without quotes.
func isIdentifier(key string) bool {
	for i, r := range key {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return key != ""
}
