package config

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Requirements are what an owner's applications need of Istio.
type Requirements struct {
	// IstioVersions is the range of Istio's minor versions that the owner supports. Default: any.
	IstioVersions VersionRange `json:"istioVersions,omitzero"`
	// HoldApplication asks for applications that start after their proxy does.
	HoldApplication bool `json:"holdApplication,omitempty"`
	// DNSCapture asks for proxies that resolve the hosts of ServiceEntries, and capture the
	// connections to them.
	DNSCapture bool `json:"dnsCapture,omitempty"`
	// InjectionOptIn asks for a mesh that injects only the pods of namespaces that ask for it.
	InjectionOptIn bool `json:"injectionOptIn,omitempty"`
}

func (r *Requirements) validate(path *field.Path) field.ErrorList {
	if v := r.IstioVersions; v.Max.Before(v.Min) {
		return field.ErrorList{field.Invalid(path.Child("istioVersions", "max"), v.Max.String(), "must not be older than min, "+v.Min.String())}
	}
	return nil
}

// VersionRange is a range of minor versions, both ends in it.
type VersionRange struct {
	Min IstioVersion `json:"min"`
	Max IstioVersion `json:"max"`
}

// Contains reports whether the version is in the range. The zero range contains every one.
func (r VersionRange) Contains(v IstioVersion) bool {
	return r == VersionRange{} || !v.Before(r.Min) && !r.Max.Before(v)
}

// IstioVersion is a minor version of Istio, "1.22" in a file.
type IstioVersion struct{ Major, Minor int }

// Before reports whether the version is older than another.
func (v IstioVersion) Before(o IstioVersion) bool {
	return cmp.Or(cmp.Compare(v.Major, o.Major), cmp.Compare(v.Minor, o.Minor)) < 0
}

func (v IstioVersion) String() string { return fmt.Sprintf("%d.%d", v.Major, v.Minor) }

// MarshalText writes the version as String does.
func (v IstioVersion) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads a version.
func (v *IstioVersion) UnmarshalText(text []byte) error {
	major, minor, ok := strings.Cut(string(text), ".")
	var errs [2]error
	v.Major, errs[0] = strconv.Atoi(major)
	v.Minor, errs[1] = strconv.Atoi(minor)
	if !ok || cmp.Or(errs[0], errs[1]) != nil {
		return fmt.Errorf("%q is no minor version of Istio: write it in quotes, as \"1.22\"", text)
	}
	return nil
}
