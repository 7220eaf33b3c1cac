package manifest

import (
	"bytes"
	"iter"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yamlnode "go.yaml.in/yaml/v3"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// parse reads the documents of a file.
func (r *reader) parse(file string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if line, what := notText(data); line > 0 {
		r.fault(file, line, "%s; save the file as UTF-8 text", what)
		return
	}
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) > 0 && first[0] == '{' {
		// As kubectl does, the content decides and not the name: what starts like JSON is
		// JSON, unless it turns out to be YAML in flow style.
		values, end, err := jsonValues(data)
		switch {
		case err == nil:
			for _, v := range values {
				if r.full() {
					return
				}
				r.json(file, v)
			}
			return
		case strings.EqualFold(filepath.Ext(file), ".json"):
			r.fault(file, lineOf(data, end), "not valid JSON: %s; correct the syntax", err)
			return
		}
	}
	for c := range split(data) {
		if r.full() {
			return
		}
		r.yaml(file, c)
	}
}

// notText finds the first byte that a manifest cannot have, so that it can be told by its
// line: the parsers do not.
func notText(data []byte) (line int, what string) {
	for i := 0; i < len(data); {
		c := data[i]
		if c >= ' ' && c < utf8.RuneSelf || c == '\t' || c == '\n' || c == '\r' {
			i++
			continue
		}
		if c < ' ' {
			return lineOf(data, i), "control character " + strconv.QuoteRune(rune(c))
		}
		char, size := utf8.DecodeRune(data[i:])
		if char == utf8.RuneError && size == 1 {
			return lineOf(data, i), "byte 0x" + strconv.FormatUint(uint64(c), 16) + " is not UTF-8"
		}
		i += size
	}
	return 0, ""
}

// lineOf is the line, counted from 1, that the byte at offset is on.
func lineOf(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(offset, len(data))], []byte("\n"))
}

// jsonValues splits a stream of JSON values. On failure it returns where, too.
func jsonValues(data []byte) (values []jsonPlace, end int, err error) {
	d := kjson.NewDecoderCaseSensitivePreserveInts(bytes.NewReader(data))
	at, line := 0, 1
	for {
		start := len(data) - len(bytes.TrimLeft(data[at:], " \t\r\n"))
		if start == len(data) {
			return values, start, nil
		}
		line += bytes.Count(data[at:start], []byte("\n"))
		var v rawJSON
		if err := d.Decode(&v); err != nil {
			// The decoder counts the bytes of a stream in its own way; the value alone
			// gives the place.
			if alone := kjson.UnmarshalCaseSensitivePreserveInts(data[start:], &v); alone != nil {
				_, offset := kjson.SyntaxErrorOffset(alone)
				return nil, start + int(offset), alone
			}
			return nil, start, err
		}
		at = int(d.InputOffset())
		values = append(values, jsonPlace{data[start:at], line})
		line += bytes.Count(data[start:at], []byte("\n"))
	}
}

// json reads a JSON value, which must not have a key twice.
func (r *reader) json(file string, v jsonPlace) {
	var ignored any
	duplicates, err := kjson.UnmarshalStrict(v.raw, &ignored, kjson.DisallowDuplicateFields)
	if err != nil {
		r.fault(file, v.at, "not valid JSON: %s; correct the syntax", err)
		return
	}
	for _, d := range duplicates {
		r.fault(file, v.at, "%s; keep one of the two", d)
	}
	if len(duplicates) == 0 {
		r.item(file, item{raw: v.raw, at: v})
	}
}

// chunk is one YAML document with its markers.
type chunk struct {
	data []byte
	line int // of the first byte
}

// split cuts a YAML stream into documents. Marker lines start in the first column, where
// YAML allows them nowhere else, not even inside of a scalar.
func split(data []byte) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		start, startLine := 0, 1
		at, line := 0, 1
		for text := range bytes.Lines(data) {
			next := at + len(text)
			end, endLine := start, startLine // of the document so far, if it ends here
			switch {
			case isMarker(text, "---") && !isDirectives(data[start:at]):
				end, endLine = at, line
			case isMarker(text, "..."):
				end, endLine = next, line+1
			}
			if end > start {
				if !yield(chunk{data[start:end], startLine}) {
					return
				}
				start, startLine = end, endLine
			}
			at, line = next, line+1
		}
		if at > start {
			yield(chunk{data[start:at], startLine})
		}
	}
}

// isMarker reports whether a line is a document marker, which content or a comment may
// follow.
func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// isDirectives reports whether text has directives (%YAML, %TAG) and nothing else: they
// belong to the document that the next marker starts.
func isDirectives(text []byte) bool {
	found := false
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, " \t\r\n")
		switch {
		case len(line) > 0 && line[0] == '%':
			found = true
		case len(bytes.TrimLeft(line, " \t")) > 0 && bytes.TrimLeft(line, " \t")[0] != '#':
			return false
		}
	}
	return found
}

// contentLine is the line of the first thing in a document that is neither comment,
// directive nor marker; 0 when there is none.
func (c chunk) contentLine() int {
	line := c.line
	for text := range bytes.Lines(c.data) {
		if isMarker(text, "---") || isMarker(text, "...") {
			text = text[3:]
		}
		text = bytes.TrimSpace(text)
		if len(text) > 0 && text[0] != '#' && text[0] != '%' {
			return line
		}
		line++
	}
	return 0
}

// yaml reads a YAML document.
func (r *reader) yaml(file string, c chunk) {
	line := c.contentLine()
	if line == 0 {
		return
	}
	document := letters(c.data)
	raw, err := yaml.YAMLToJSONStrict(document)
	if err != nil && mergesOnly(document) {
		raw, err = yaml.YAMLToJSON(document)
	}
	if err != nil {
		r.yamlFault(file, c, line, err)
		return
	}
	if string(raw) == "null" {
		return
	}
	r.item(file, item{raw: raw, at: &yamlPlace{chunk: c, at: line}})
}

// mergesOnly reports whether a document has merge keys ("<<") and no key twice in the file
// itself. The strict parser takes a key that overrides a merged one for a repetition.
func mergesOnly(document []byte) bool {
	if !bytes.Contains(document, []byte("<<")) {
		return false
	}
	var node yamlnode.Node
	return yamlnode.Unmarshal(document, &node) == nil && !repeats(&node)
}

func repeats(n *yamlnode.Node) bool {
	seen := map[string]bool{}
	for i, c := range n.Content {
		if n.Kind == yamlnode.MappingNode && i%2 == 0 {
			if seen[c.Value] {
				return true
			}
			seen[c.Value] = true
		}
		if repeats(c) {
			return true
		}
	}
	return false
}

// bareLetter finds documents that may have a value of one letter, y or n, without quotes.
var bareLetter = regexp.MustCompile(`(?m)[:\-\[{,]\s*[yYnN]\s*(?:$|[,}\]#])`)

// letters quotes the values y and n. The parser takes them for booleans, as YAML 1.1 has it,
// while YAML 1.2 and most parsers that files were written with take them for strings; and
// a selector "x: y" in a manifest means the letter.
func letters(document []byte) []byte {
	if !bareLetter.Match(document) {
		return document
	}
	var node yamlnode.Node
	if err := yamlnode.Unmarshal(document, &node); err != nil {
		return document // the parser says what is wrong, with its line
	}
	quoteLetters(&node)
	out, err := yamlnode.Marshal(&node)
	if err != nil {
		return document
	}
	return out
}

func quoteLetters(n *yamlnode.Node) {
	if n.Kind == yamlnode.ScalarNode && n.Style == 0 && len(n.Value) == 1 && strings.ContainsAny(n.Value, "yYnN") {
		n.Style = yamlnode.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		quoteLetters(c)
	}
}

var (
	yamlLine     = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)
	yamlRepeated = regexp.MustCompile(`^key (".*") already set in map$`)
	// The parser counts the lines of these from 0, the scanner those of all others from 1
	// (parser.fail in decode.go of go.yaml.in/yaml/v2).
	yamlFromZero = regexp.MustCompile(`^did not find expected (key|'-' indicator|',' or|node content|<)`)
)

// yamlFault turns an error of the YAML parser into one fault for each line that it names.
// An error without a line is about the first line, or the document as a whole.
func (r *reader) yamlFault(file string, c chunk, line int, err error) {
	for message := range strings.SplitSeq(err.Error(), "\n") {
		message = strings.TrimSpace(message)
		if message == "" || message == "yaml: unmarshal errors:" {
			continue
		}
		at, what := line, strings.TrimPrefix(message, "yaml: ")
		if m := yamlLine.FindStringSubmatch(message); m != nil {
			what = m[2]
			if n, err := strconv.Atoi(m[1]); err == nil {
				at = c.line + n - 1
				if yamlFromZero.MatchString(what) {
					at++
				}
			}
		}
		if m := yamlRepeated.FindStringSubmatch(what); m != nil {
			r.fault(file, at, "key %s is there twice; keep one of the two", m[1])
			continue
		}
		r.fault(file, at, "not valid YAML: %s; correct the syntax", what)
	}
}

// place is where a value starts, and where the items of a list start.
type place interface {
	line() int
	// items returns the places of the elements of the field "items", or nil when they
	// cannot be told.
	items() []place
}

// jsonPlace is a JSON value inside of a file. It finds items by walking the tokens.
type jsonPlace struct {
	raw []byte
	at  int
}

func (p jsonPlace) line() int { return p.at }

func (p jsonPlace) items() []place {
	d := kjson.NewDecoderCaseSensitivePreserveInts(bytes.NewReader(p.raw))
	var skipped rawJSON
	if _, err := d.Token(); err != nil { // "{"
		return nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil
		}
		if key != "items" {
			if err := d.Decode(&skipped); err != nil {
				return nil
			}
			continue
		}
		if _, err := d.Token(); err != nil { // "["
			return nil
		}
		var out []place
		at, line := 0, p.at
		for d.More() {
			start := int(d.InputOffset())
			for bytes.IndexByte([]byte(" \t\r\n,"), p.raw[start]) >= 0 {
				start++
			}
			if err := d.Decode(&skipped); err != nil {
				return nil
			}
			line += bytes.Count(p.raw[at:start], []byte("\n"))
			at = start
			out = append(out, jsonPlace{p.raw[start:d.InputOffset()], line})
		}
		return out
	}
	return nil
}

// yamlPlace parses the document a second time, into nodes that know their lines, only if
// it is a list: most are not.
type yamlPlace struct {
	chunk chunk
	at    int
	node  *yamlnode.Node // nil until it is needed
}

func (p *yamlPlace) line() int { return p.at }

func (p *yamlPlace) items() []place {
	if p.node == nil {
		var document yamlnode.Node
		if err := yamlnode.Unmarshal(p.chunk.data, &document); err != nil || len(document.Content) == 0 {
			return nil
		}
		p.node = document.Content[0]
	}
	list := resolve(p.node)
	for i := 0; i+1 < len(list.Content); i += 2 {
		if list.Kind != yamlnode.MappingNode || list.Content[i].Value != "items" {
			continue
		}
		var out []place
		for _, item := range resolve(list.Content[i+1]).Content {
			out = append(out, &yamlPlace{chunk: p.chunk, at: p.chunk.line + item.Line - 1, node: item})
		}
		return out
	}
	return nil
}

// resolve follows an alias to what it stands for. An alias of an alias does not exist.
func resolve(n *yamlnode.Node) *yamlnode.Node {
	if n.Kind == yamlnode.AliasNode {
		return n.Alias
	}
	return n
}
