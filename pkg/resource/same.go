package resource

import (
	"reflect"
	"time"
)

// Same reports whether two objects mean the same to policy: they may differ in what the API server
// stamps on them by itself, which is the UID, the version and the time of creation.
func Same(a, b Object) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	if va.Type() != vb.Type() || !reflect.DeepEqual(unstamped(a), unstamped(b)) {
		return false
	}
	for i := range va.NumField() {
		if va.Type().Field(i).Type != reflect.TypeFor[Meta]() && !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			return false
		}
	}
	return true
}

func unstamped(o Object) Meta {
	m := *o.GetMeta()
	m.UID, m.Version, m.Created = "", 0, time.Time{}
	return m
}
