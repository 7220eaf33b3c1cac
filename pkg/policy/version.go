package policy

import (
	"cmp"
	"regexp"
	"strconv"

	"github.com/gatewarden/gatewarden/pkg/config"
)

// imageVersion finds the version in the tag of one of Istio's images, "1.22.3-distroless" for
// example; a digest tells none.
var imageVersion = regexp.MustCompile(`:v?(\d+)\.(\d+)(?:[.-][^/:@]*)?(?:@.*)?$`)

// ImageVersion returns the version of Istio that an image is of, by its tag.
func ImageVersion(image string) (config.IstioVersion, bool) {
	m := imageVersion.FindStringSubmatch(image)
	if m == nil {
		return config.IstioVersion{}, false
	}
	return version(m[1], m[2])
}

// chartVersion finds the version in the label helm.sh/chart.
var chartVersion = regexp.MustCompile(`^gateway-(\d+)\.(\d+)\.`)

// ChartVersion returns the version of Istio's gateway chart that an object was rendered with.
func ChartVersion(labels map[string]string) (config.IstioVersion, bool) {
	m := chartVersion.FindStringSubmatch(labels["helm.sh/chart"])
	if m == nil {
		return config.IstioVersion{}, false
	}
	return version(m[1], m[2])
}

func version(major, minor string) (config.IstioVersion, bool) {
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return config.IstioVersion{Major: a, Minor: b}, cmp.Or(errA, errB) == nil
}
