package metrics

import "github.com/prometheus/client_golang/prometheus"

// configuration collects what is known of the configuration in force, as a whole.
type configuration struct {
	source                                        func() Configuration
	current, loaded, openings, exemptions, expiry *prometheus.Desc
}

func newConfiguration(source func() Configuration) *configuration {
	description := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "config", name), help, labels, nil)
	}
	return &configuration{
		source:     source,
		current:    description("last_reload_successful", "1 while the configuration in force is what the file says, else 0."),
		loaded:     description("last_reload_success_timestamp_seconds", "When the configuration in force was read, in seconds since 1970."),
		openings:   description("openings", "What in the configuration in force lets everybody or everything through."),
		exemptions: description("exemptions", "Exemptions of the configuration in force, by state: live, or expired and without effect.", "state"),
		expiry:     description("next_exemption_expiry_timestamp_seconds", "When the next exemption expires, in seconds since 1970; none if none does."),
	}
}

// Describe sends the descriptions.
func (c *configuration) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.current, c.loaded, c.openings, c.exemptions, c.expiry} {
		out <- d
	}
}

// Collect sends the gauges.
func (c *configuration) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := c.source()
	gauge(c.current, bit(now.Current))
	gauge(c.loaded, seconds(now.Loaded))
	gauge(c.openings, float64(now.Openings))
	gauge(c.exemptions, float64(now.Live), "live")
	gauge(c.exemptions, float64(now.Expired), "expired")
	if !now.NextExpiry.IsZero() {
		gauge(c.expiry, seconds(now.NextExpiry))
	}
}
