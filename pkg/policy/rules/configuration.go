package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gatewarden/gatewarden/pkg/config"
	"github.com/gatewarden/gatewarden/pkg/policy"
)

// Load reads a configuration as config.Load does, and refuses rules that do not exist.
func Load(data []byte, source string) (*config.Configuration, error) {
	c, err := config.Load(data, source)
	if err != nil {
		return nil, err
	}
	var wrong []error
	say := func(field, format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("%s: %s: %s", source, field, fmt.Sprintf(format, args...)))
	}
	set := map[string]string{} // ID to how it is written
	for _, key := range slices.Sorted(maps.Keys(c.Rules)) {
		field := "rules[" + key + "]"
		r := Find(key)
		switch {
		case r == nil:
			say(field, "%s", unknown(key))
		case set[r.ID] != "":
			say(field, "sets %s again, which rules[%s] does; keep one of them", r.ID, set[r.ID])
		default:
			set[r.ID] = key
		}
	}
	for i, e := range c.Exemptions {
		for j, key := range e.Rules {
			if Find(key) == nil {
				say(fmt.Sprintf("exemptions[%d].rules[%d]", i, j), "%s", unknown(key))
			}
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return c, nil
}

// unknown says that there is no such rule.
func unknown(key string) string {
	return fmt.Sprintf("no rule has the ID or name %q; \"gatewarden rules\" lists them", key)
}

// Openings tells of what in a configuration lets everybody, or everything, through: a sentence
// for each.
func Openings(c *config.Configuration) []string {
	out := c.Openings()
	var weak, denying int
	for _, r := range All() {
		switch set := c.RuleEffect(r.ID, r.Name); {
		case set == config.EffectDeny, set == "" && r.Effect == policy.Deny:
			denying++
		case r.Effect == policy.Deny:
			weak++
		}
	}
	if denying == 0 && weak > 0 {
		out = append(out, "rules leaves none that denies: nothing is refused any more")
	}
	return out
}
