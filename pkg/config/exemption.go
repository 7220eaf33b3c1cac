package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatewarden/gatewarden/pkg/resource"
)

// Effect is what the findings of a rule do, as a configuration sets it.
type Effect string

// The effects.
const (
	EffectDeny Effect = "deny"
	EffectWarn Effect = "warn"
	EffectNote Effect = "note"
	// EffectOff takes the rule out.
	EffectOff Effect = "off"
)

// effects are all of them, the strongest first.
var effects = []Effect{EffectDeny, EffectWarn, EffectNote, EffectOff}

// UnmarshalJSON reads an effect. YAML 1.1 takes a plain off for false.
func (e *Effect) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		*e = EffectOff
		return nil
	}
	*e = Effect(strings.Trim(string(b), `"`)) // validate tells one that is none
	return nil
}

// RuleEffect returns the effect that is set for a rule, by ID or name in any letter case, or
// "" if none is.
func (c *Configuration) RuleEffect(id, name string) Effect {
	for key, e := range c.Rules {
		if strings.EqualFold(key, id) || strings.EqualFold(key, name) {
			return e
		}
	}
	return ""
}

// Exemption names what is not judged: what some requesters do, or what happens to some
// objects, or both.
type Exemption struct {
	// Users and Groups are the requesters. Without any it counts for everybody.
	Users  []string `json:"users,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Objects are the objects. Without any it counts for all.
	Objects []ObjectPattern `json:"objects,omitempty"`
	// Rules are the rules, by ID or name, whose findings are noted and do nothing else.
	// Without any nothing is judged.
	Rules []string `json:"rules,omitempty"`
	// Reason is shown in logs. It is required.
	Reason string `json:"reason"`
	// Expires is the last day on which the exemption counts, in UTC, as in "2026-12-31", or
	// the moment from which on it does not, as in "2026-12-31T18:00:00Z". Empty: never.
	Expires string `json:"expires,omitempty"`
}

// end returns the moment from which on the exemption does not count, or zero if it has no end.
func (e *Exemption) end() (time.Time, error) {
	if e.Expires == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, e.Expires); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	return time.Parse(time.RFC3339, e.Expires)
}

// AsOf returns the configuration as it counts at a time. One that was never asked as of any
// time has no clock, and no exemption that expires counts in it.
func (c *Configuration) AsOf(now time.Time) *Configuration {
	out := *c
	out.asOf = now
	return &out
}

// live reports whether an exemption counts.
func (c *Configuration) live(e *Exemption) bool {
	end, err := e.end()
	return err == nil && (end.IsZero() || !c.asOf.IsZero() && c.asOf.Before(end))
}

// LiveExemptions returns the exemptions that count.
func (c *Configuration) LiveExemptions() []Exemption {
	return slices.DeleteFunc(slices.Clone(c.Exemptions), func(e Exemption) bool { return !c.live(&e) })
}

// Expired tells of the exemptions that do not count any more, a sentence for each.
func (c *Configuration) Expired() []string {
	var out []string
	for i := range c.Exemptions {
		if e := &c.Exemptions[i]; !c.live(e) {
			out = append(out, fmt.Sprintf("exemptions[%d] (%s) expired on %s and no longer counts: take it out, or give it a later date", i, e.Reason, e.Expires))
		}
	}
	return out
}

// NextExpiry returns when the next of the exemptions that count now will not count any more, or zero
// if none of them has an end.
func (c *Configuration) NextExpiry() time.Time {
	var next time.Time
	for i := range c.Exemptions {
		e := &c.Exemptions[i]
		if end, err := e.end(); err == nil && c.live(e) && !end.IsZero() && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return next
}

// Exempt returns the reason for which a change by a requester to the object is not judged at
// all, or "".
func (c *Configuration) Exempt(user string, groups []string, k resource.Key) string {
	return c.exempt(user, groups, k, func(e *Exemption) bool { return len(e.Rules) == 0 })
}

// ExemptFrom returns the reason for which the findings of one rule do nothing, or "". A
// requester without a name is that of an audit.
func (c *Configuration) ExemptFrom(user string, groups []string, k resource.Key, id, name string) string {
	return c.exempt(user, groups, k, func(e *Exemption) bool {
		return len(e.Rules) == 0 || slices.ContainsFunc(e.Rules, func(r string) bool {
			return strings.EqualFold(r, id) || strings.EqualFold(r, name)
		})
	})
}

func (c *Configuration) exempt(user string, groups []string, k resource.Key, covers func(*Exemption) bool) string {
	for i := range c.Exemptions {
		e := &c.Exemptions[i]
		if covers(e) && c.live(e) &&
			(len(e.Users)+len(e.Groups) == 0 || among(e.Users, e.Groups, user, groups)) &&
			(len(e.Objects) == 0 || slices.ContainsFunc(e.Objects, func(p ObjectPattern) bool { return p.Matches(k) })) {
			return e.Reason
		}
	}
	return ""
}

// among reports whether a requester is one of the users or in one of the groups.
func among(users, groups []string, user string, of []string) bool {
	return user != "" && slices.Contains(users, user) ||
		slices.ContainsFunc(of, func(g string) bool { return slices.Contains(groups, g) })
}

// everybody are the groups that every requester is in (k8s.io/apiserver
// pkg/authentication/user/user.go): the API server puts them there itself.
var everybody = []string{"system:authenticated", "system:unauthenticated"}

// Openings tells of what lets everybody, or everything, through: a sentence for each. It is
// allowed, and ought to be said loudly.
func (c *Configuration) Openings() []string {
	var out []string
	all := func(groups []string) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(everybody, g) })
	}
	anything := func(patterns []ObjectPattern) bool {
		return slices.ContainsFunc(patterns, func(p ObjectPattern) bool { return anyName(p.Namespace) && anyName(p.Name) })
	}
	for i, e := range c.Exemptions {
		if len(e.Rules) == 0 && c.live(&e) && (all(e.Groups) || len(e.Users)+len(e.Groups) == 0) && (len(e.Objects) == 0 || anything(e.Objects)) {
			out = append(out, fmt.Sprintf("exemptions[%d] (%s) exempts every requester and every object%s: nothing of that is judged", i, e.Reason, ofKinds(e.Objects)))
		}
	}
	for i := range c.GuardedGateways {
		g := &c.GuardedGateways[i]
		for j, p := range g.OwnerObjects {
			if anything([]ObjectPattern{p}) {
				out = append(out, fmt.Sprintf("guardedGateways[%d].ownerObjects[%d] takes every %s for the owner's: nobody's is judged against his claims", i, j, p.Kind))
			}
		}
		for j, r := range g.OwnerRequesters {
			if all(r.Groups) && slices.ContainsFunc(r.Namespaces, anyName) {
				out = append(out, fmt.Sprintf("guardedGateways[%d].ownerRequesters[%d] takes everybody for the owner everywhere: nothing is judged against his claims", i, j))
			}
		}
	}
	return out
}

// anyName reports whether a pattern matches every name.
func anyName(pattern string) bool { return strings.Trim(pattern, "*") == "" }

// ofKinds names the kinds of patterns, if they have any.
func ofKinds(patterns []ObjectPattern) string {
	var kinds []string
	for _, p := range patterns {
		if p.Kind == "" {
			return ""
		}
		kinds = append(kinds, string(p.Kind))
	}
	if len(kinds) == 0 {
		return ""
	}
	return " of kind " + strings.Join(kinds, ", ")
}
