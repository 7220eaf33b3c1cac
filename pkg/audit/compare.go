package audit

// Comparison tells how an audit differs from an earlier one.
type Comparison struct {
	// New are the findings that the earlier audit did not have.
	New []Finding
	// Known are the findings that it had too.
	Known []Finding
	// Resolved are the identities of those that are gone, in the order of the earlier audit.
	Resolved []ID
}

// Compare compares findings with those of an earlier audit.
func Compare(earlier []ID, findings []Finding) Comparison {
	had := make(map[ID]bool, len(earlier))
	for _, id := range earlier {
		had[id] = true
	}
	var c Comparison
	has := make(map[ID]bool, len(findings))
	for _, f := range findings {
		has[f.ID()] = true
		if had[f.ID()] {
			c.Known = append(c.Known, f)
		} else {
			c.New = append(c.New, f)
		}
	}
	for _, id := range earlier {
		if !has[id] {
			has[id] = true // an earlier audit may name it twice
			c.Resolved = append(c.Resolved, id)
		}
	}
	return c
}
