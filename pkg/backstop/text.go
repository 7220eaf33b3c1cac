package backstop

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// lines joins lines, sorted so that equal parameters are equal texts.
func lines(list []string) string {
	slices.Sort(list)
	return strings.Join(slices.Compact(list), "\n")
}

// words joins words that are free of separators. Others are left out: nothing is refused for
// what is not there.
func words(list []string) string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" || !plain(s) })
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

// plain reports whether a text can be a word.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// pairs writes labels as words.
func pairs(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	return words(out)
}

// unclear reports whether labels can not be told from others once they are written as pairs.
func unclear(labels map[string]string) bool {
	for k, v := range labels {
		if strings.Contains(k, "=") || !plain(k+v) {
			return true
		}
	}
	return false
}

// clean takes the separators out of a text for people.
func clean(s string) string { return strings.Join(strings.Fields(s), " ") }

// glob returns the regular expression of a pattern in which "*" stands for any run of
// characters, and which is everything if it is empty.
func glob(pattern string) string {
	if pattern == "" {
		pattern = "*"
	}
	parts := strings.Split(pattern, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return strings.Join(parts, "[^/]*")
}

// intersection returns the labels that all have.
func intersection(all []map[string]string) map[string]string {
	out := maps.Clone(all[0])
	for _, labels := range all[1:] {
		maps.DeleteFunc(out, func(k, v string) bool {
			other, ok := labels[k]
			return !ok || other != v
		})
	}
	return out
}
